//! From which hosts recordings may be read, as an operator writes it down.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use url::{Host, Url};

use crate::error::{Error, Result};

/// A host, or every host under a domain: `media.example.com`, `*.example.com`, `media.example.com:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostRule {
    host: Host,
    /// Hosts under `host`, not `host` itself.
    under: bool,
    /// `None`: the usual port of http and of https.
    port: Option<u16>,
}

impl HostRule {
    /// Whether a recording may be read from `url`, as far as its host and its port go.
    pub fn allows(&self, url: &Url) -> bool {
        let port = match self.port {
            None => url.port().is_none(),
            Some(port) => url.port_or_known_default() == Some(port),
        };
        let host = match (url.host(), &self.host) {
            (Some(Host::Domain(name)), Host::Domain(wanted)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let before = name.strip_suffix(wanted.as_str());
                if self.under {
                    before.is_some_and(|sub| sub.len() > 1 && sub.ends_with('.'))
                } else {
                    before == Some("")
                }
            }
            (Some(host), wanted) => host == *wanted,
            (None, _) => false,
        };
        port && host
    }
}

impl FromStr for HostRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Request(format!(
                "'{text}' is no host that recordings may be read from: write media.example.com, *.example.com or \
                 media.example.com:8443"
            ))
        };
        let (under, rest) = text.trim().strip_prefix("*.").map_or((false, text.trim()), |rest| (true, rest));
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) if !rest.ends_with(']') => {
                (name, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?))
            }
            _ => (rest, None),
        };
        let host = match Host::parse(name.strip_suffix('.').unwrap_or(name)).map_err(|_| wrong())? {
            Host::Domain(name) if name.is_empty() || name.contains('*') => return Err(wrong()),
            host => host,
        };
        match (&host, under) {
            (Host::Ipv4(_) | Host::Ipv6(_), true) => Err(wrong()),
            _ => Ok(Self { host, under, port }),
        }
    }
}

impl TryFrom<String> for HostRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under = if self.under { "*." } else { "" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{under}{}{port}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        rule.parse::<HostRule>().unwrap().allows(&url.parse().unwrap())
    }

    #[test]
    fn a_host_is_that_host_alone_on_its_usual_port() {
        for url in ["https://media.example.com/a.mp3", "http://MEDIA.example.com./", "https://media.example.com:443/"] {
            assert!(allows("Media.example.com", url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://a.media.example.com/",
            "https://xmedia.example.com/",
            "https://media.example.com.evil.org/",
            "https://media.example.com:8443/",
            "http://media.example.com:443/",
            "https://media.example.com@evil.org/",
            "https://evil.org/media.example.com",
            "https://evil.org#media.example.com",
        ] {
            assert!(!allows("media.example.com", url), "{url}");
        }
    }

    #[test]
    fn a_star_stands_for_one_or_more_labels() {
        for url in ["https://a.example.com/", "https://a.b.example.com/"] {
            assert!(allows("*.example.com", url), "{url}");
        }
        for url in
            ["https://example.com/", "https://.example.com/", "https://aexample.com/", "https://example.com.org/"]
        {
            assert!(!allows("*.example.com", url), "{url}");
        }
    }

    #[test]
    fn a_port_is_that_port_alone_and_addresses_are_compared_as_addresses() {
        assert!(allows("media.example.com:8443", "https://media.example.com:8443/"));
        assert!(!allows("media.example.com:8443", "https://media.example.com/"));
        assert!(allows("media.example.com:443", "https://media.example.com/"));
        assert!(!allows("media.example.com:443", "http://media.example.com/"));
        assert!(allows("1.1.1.1", "http://0x01010101/"));
        assert!(allows("[2606:4700:4700::1111]:8443", "https://[2606:4700:4700:0::1111]:8443/"));
        assert!(allows("bücher.example", "https://xn--bcher-kva.example/"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["", "*", "*.", "*.1.2.3.4", "https://a.example", "a.example/b", "a b", "a.*.example", "a:0", "a:x", "a:"]
        {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
        for text in ["media.example.com", "*.example.com:8443", "[2606:4700::1]:80"] {
            assert_eq!(text.parse::<HostRule>().unwrap().to_string(), text);
        }
    }
}
