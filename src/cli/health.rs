//! `palabra health`: whether a service on this machine lives, for container health checks, which have no curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use palabra::{Error, Result};
use ureq::Agent;

use super::streams;

/// Ask a service on this machine whether it lives; the exit code says it.
#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Its port
    #[arg(short, long, env = "PALABRA_PORT", default_value_t = 8000, value_name = "N", hide_env_values = true)]
    port: u16,
    /// The address that it listens on; one that stands for all is asked as localhost
    #[arg(long, env = "PALABRA_HOST", default_value = "127.0.0.1", value_name = "ADDRESS", hide_env_values = true)]
    host: IpAddr,
    /// Ask whether its models are loaded (GET /ready), not only whether it lives (GET /health)
    #[arg(long)]
    ready: bool,
    /// Seconds that it may take
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Asks, and says the answer in one line.
///
/// # Errors
/// [`Error::Machine`] when there is no answer or not the wanted one.
pub fn run(arguments: &HealthArguments) -> anyhow::Result<ExitCode> {
    let path = if arguments.ready { "/ready" } else { "/health" };
    let place = format!("http://{}{path}", reachable(arguments.host, arguments.port));
    let status = ask(&place, Duration::from_secs(arguments.timeout))?;
    if status != 200 {
        return Err(Error::Machine(format!("{place} answers with status {status}, not 200")).into());
    }
    streams::write(&format!("{place} answers\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn ask(place: &str, patience: Duration) -> Result<u16> {
    let config = Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(Some(patience)).build();
    let answer = Agent::new_with_config(config).get(place).call();
    let answer = answer.map_err(|reason| {
        Error::Machine(format!("{place} does not answer ({reason}); is a service running there, on another port?"))
    })?;
    Ok(answer.status().as_u16())
}

/// Where a service can be asked that listens on `host`.
fn reachable(host: IpAddr, port: u16) -> SocketAddr {
    let host = match host {
        IpAddr::V4(all) if all.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(all) if all.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
        one => one,
    };
    SocketAddr::new(host, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_is_asked_on_this_machine() {
        for (host, asked) in [("0.0.0.0", "127.0.0.1:80"), ("::", "[::1]:80"), ("10.0.0.1", "10.0.0.1:80")] {
            assert_eq!(reachable(host.parse().unwrap(), 80).to_string(), asked);
        }
    }
}
