//! `[server]` and `[tokens.NAME]` of `bandstand.toml`: where `serve` listens, what it takes, and who may do what.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::config::{duration, size};

/// Where a server listens when nobody says.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7420);
/// A request's body when nobody says. Bytes.
pub const BODY_BYTES_DEFAULT: u64 = 4 << 20;
/// An uploaded plugin when nobody says. Bytes.
pub const UPLOAD_BYTES_DEFAULT: u64 = 64 << 20;
/// Connections at once when nobody says.
pub const CONNECTIONS_DEFAULT: u32 = 2_048;
/// How long a server that ends waits for what it does, when nobody says. Milliseconds.
pub const GRACE_MS_DEFAULT: u64 = 10_000;
/// How long a client may take nothing of what it is sent, when nobody says. Milliseconds.
pub const STALLED_MS_DEFAULT: u64 = 60_000;

/// `[server]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ServerSettings {
    /// The address and port. One that is not loopback needs tokens.
    pub listen: Option<SocketAddr>,
    /// Names that requests may be addressed to beside `localhost` and the address itself, without port.
    pub names: Vec<String>,
    /// Origins of web pages that may ask: `https://desk.example.com`. The server's own is among them.
    pub origins: Vec<String>,
    /// The certificates that it shows, PEM; with `key`.
    pub certificate: Option<PathBuf>,
    /// The private key of the first of them, PEM.
    pub key: Option<PathBuf>,
    /// The body of a request.
    #[serde(deserialize_with = "size")]
    pub body: Option<u64>,
    /// An uploaded plugin.
    #[serde(deserialize_with = "size")]
    pub upload: Option<u64>,
    /// Connections at once.
    pub connections: Option<NonZeroU32>,
    /// Requests of one token, or of one address, in a second; none: as many as come.
    pub rate: Option<NonZeroU32>,
    /// How long a server that was told to end waits for what it does, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub grace: Option<u64>,
    /// How long a client may take nothing of what it is sent, in milliseconds; then its connection is cut.
    #[serde(deserialize_with = "duration")]
    pub stalled: Option<u64>,
    /// Whether `/metrics` is for everybody; else for those who may look.
    pub metrics_for_all: bool,
}

/// `[tokens.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// The token's digest, as `bandstand token new` prints it: `sha256:` and 64 hexadecimal digits.
    #[serde(deserialize_with = "digest")]
    pub digest: [u8; 32],
    /// What whoever has it may do.
    pub roles: Vec<Role>,
    /// Who has it; without, the token's name. Answers to reviews are theirs.
    pub user: Option<String>,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What somebody may do. Each of the others may look, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Answer reviews.
    Reviewer,
    /// Start and steer runs, send signals, put plugins back in service.
    Operator,
    /// All of it, and change what is served: workflows, plugins, stored runs.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Reviewer, Role::Operator, Role::Admin];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Reviewer => "reviewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// Whether whoever has this role may do what asks for that one.
    pub fn covers(self, asked: Role) -> bool {
        asked == Role::Viewer || self == Role::Admin || self == asked
    }
}

/// Tokens by their names.
pub type Tokens = BTreeMap<String, TokenSettings>;

fn digest<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_digest(&text).ok_or_else(|| {
        serde::de::Error::custom(
            "a token's digest is `sha256:` and 64 hexadecimal digits; make a token with: bandstand token new NAME",
        )
    })
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?;
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha256_in_hexadecimal() {
        assert_eq!(parse_digest(&format!("sha256:{}", "0f".repeat(32))), Some([15; 32]));
        for wrong in
            ["", "sha256:", "0f", &"0f".repeat(32), &format!("sha256:{}", "+f".repeat(32)), "sha256:\u{e9}"]
        {
            assert_eq!(parse_digest(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_role_may_look_and_only_an_admin_may_do_all() {
        for role in Role::ALL {
            assert!(role.covers(Role::Viewer) && Role::Admin.covers(role));
            assert_eq!(role.covers(Role::Admin), role == Role::Admin);
        }
        assert!(!Role::Operator.covers(Role::Reviewer) && !Role::Reviewer.covers(Role::Operator));
    }
}
