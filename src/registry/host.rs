//! Hosts of registries: where requests go, and what a host of ECR says of itself.
//!
//! Source: `reference` of the distribution project for the grammar; the Amazon ECR User Guide and the
//! amazon-ecr-credential-helper for the hosts of ECR.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::error::{Error, Result};

/// What Docker Hub is called in names, and where it answers.
pub(super) const HUB: &str = "docker.io";
const HUB_API: &str = "registry-1.docker.io";
/// Under which Docker keeps the credentials of the Hub.
const HUB_LOGIN: &str = "https://index.docker.io/v1/";

/// A registry: a host and, where it has one, a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub(super) String);

/// What the host of a private registry of ECR says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrHost {
    /// The account that it belongs to.
    pub account: String,
    /// Its region.
    pub region: String,
}

impl Host {
    /// A host as it stands in a name, such as `ghcr.io` or `127.0.0.1:5000`.
    ///
    /// # Errors
    /// When it cannot be a host.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| Err(Error::config(format!("`{text}` is no host of a registry: {why}")));
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((address, rest)) if address.parse::<Ipv6Addr>().is_ok() => (address, rest.strip_prefix(':')),
                _ => return bad("what is in brackets is no IPv6 address"),
            },
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !text.starts_with('[') && (name.len() > 253 || !name.split('.').all(is_label)) {
            return bad("it has letters, digits and `-` between dots");
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|b| b.is_ascii_digit())) {
            return bad("its port is no number");
        }
        let rest = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(_, rest)| rest);
        if !rest.is_empty() && !rest.starts_with(':') {
            return bad("a port follows the bracket after `:`");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// As it stands in names.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn name(&self) -> &str {
        match self.0.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.0.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether it is this machine itself, where other tools, too, ask without TLS.
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Scheme, host and port that requests go to.
    pub fn origin(&self) -> String {
        match self.0.as_str() {
            HUB | "index.docker.io" => format!("https://{HUB_API}"),
            host if self.is_loopback() => format!("http://{host}"),
            host => format!("https://{host}"),
        }
    }

    /// Under which names its credentials may be kept, the best first.
    pub(super) fn logins(&self) -> Vec<String> {
        match self.0.as_str() {
            HUB | "index.docker.io" | HUB_API => {
                [HUB_LOGIN, "index.docker.io", HUB, HUB_API].map(str::to_owned).to_vec()
            }
            host => vec![host.to_owned(), format!("https://{host}"), format!("http://{host}")],
        }
    }

    /// Account and region, when this is a private registry of ECR.
    pub fn ecr(&self) -> Option<EcrHost> {
        const SUFFIXES: &[&str] = &[
            "amazonaws.com",
            "amazonaws.com.cn",
            "amazonaws.eu",
            "on.aws",
            "on.amazonwebservices.com.cn",
            "c2s.ic.gov",
            "sc2s.sgov.gov",
            "cloud.adc-e.uk",
            "csp.hci.ic.gov",
        ];
        let (account, rest) = self.0.split_once('.')?;
        let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
        let (region, suffix) = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?.split_once('.')?;
        let is_ecr = is_account(account) && !region.is_empty() && SUFFIXES.contains(&suffix);
        is_ecr.then(|| EcrHost { account: account.to_owned(), region: region.to_owned() })
    }

    /// Whether this is Amazon's public gallery.
    pub fn is_ecr_public(&self) -> bool {
        matches!(self.0.as_str(), "public.ecr.aws" | "ecr-public.aws.com")
    }
}

/// Whether this is an account id of AWS.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_ecr_say_account_and_region() {
        for (host, is) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", Some("eu-west-1")),
            ("12345.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.io", None),
            ("123456789012.dkr.ecr.eu-west-1.evil.amazonaws.com", None),
            ("public.ecr.aws", None),
        ] {
            let ecr = Host::parse(host).unwrap().ecr();
            assert_eq!(ecr.as_ref().map(|ecr| ecr.region.as_str()), is, "{host}");
            assert!(ecr.is_none_or(|ecr| ecr.account == "123456789012"));
        }
        assert!(Host::parse("public.ecr.aws").unwrap().is_ecr_public());
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for (host, origin) in [
            ("localhost:5000", "http://localhost:5000"),
            ("127.8.0.1", "http://127.8.0.1"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("127.0.0.1.evil.io", "https://127.0.0.1.evil.io"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
            ("docker.io", "https://registry-1.docker.io"),
            ("ghcr.io", "https://ghcr.io"),
        ] {
            assert_eq!(Host::parse(host).unwrap().origin(), origin);
        }
    }
}
