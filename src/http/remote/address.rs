//! Which addresses belong to hosts of the public internet.
//!
//! A name that an operator allows may resolve to anything, and whoever runs its zone decides to what: only what is
//! listed as globally reachable is ever connected to. Sources: IANA's registries of special-purpose addresses for IPv4
//! and IPv6 (RFC 6890 and its successors), and the fixed address of a cloud's metadata service that lies outside of them.

use std::{net::IpAddr, sync::LazyLock};

use ipnet::IpNet;

/// Networks of IPv4 that are not the public internet.
const CLOSED_V4: [&str; 19] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// Of IPv6 only what is handed out for global unicast is open: neither mapped, compatible or translated IPv4 (::/96,
/// ::ffff:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48) nor unique local, link-local or multicast addresses lie in it.
const OPEN_V6: &str = "2000::/3";
/// Protocol assignments with Teredo, benchmarking and ORCHID; documentation; 6to4, which holds an IPv4 address; AS112.
const CLOSED_V6: [&str; 5] = ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"];

static CLOSED: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| CLOSED_V4.iter().chain(&CLOSED_V6).filter_map(|net| net.parse().ok()).collect());
static OPEN: LazyLock<Option<IpNet>> = LazyLock::new(|| OPEN_V6.parse().ok());

/// Whether `address` is one of the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    let open = address.is_ipv4() || OPEN.as_ref().is_some_and(|open| open.contains(&address));
    open && !embeds_v4(address) && !CLOSED.iter().any(|net| net.contains(&address))
}

/// ISATAP: an IPv4 address behind `0:5efe` or `200:5efe` in the lower half, under any prefix (RFC 5214).
fn embeds_v4(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            let segments = address.segments();
            segments[4] & !0x0200 == 0 && segments[5] == 0x5efe
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_the_tables_is_read() {
        assert_eq!(CLOSED.len(), CLOSED_V4.len() + CLOSED_V6.len());
        assert!(OPEN.is_some());
    }

    #[test]
    fn the_public_internet_is_open() {
        for address in ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "223.255.255.255"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["2606:4700:4700::1111", "2a00:1450:4001:800::200e", "2001:4860:4860::8888"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn everything_else_is_closed() {
        let v4 = "0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254 \
                  172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 \
                  198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255";
        let v6 = "::1 :: ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b:1::a00:1 100::1 \
                  2001::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:a00:1 \
                  3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1";
        for address in v4.split_whitespace().chain(v6.split_whitespace()) {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
