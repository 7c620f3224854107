//! What the operator lets HTTP requests of agents reach, as settings name it; and from there to what the sandbox takes:
//! here the values of secrets are read, once, when the host opens.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bandstand_sandbox::{HttpLimits, Network, Outbound, Secret, SecretValue, authorities_from_pem};

/// No larger file is taken for a secret or a certificate. Bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// `[http]` and `[secrets]` of `bandstand.toml`. Holds no value of a secret.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Networks that are not public and may be reached all the same.
    pub networks: Vec<Network>,
    /// Files with certificates of authorities beside the usual ones.
    pub authorities: Vec<PathBuf>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Bounds.
    pub limits: HttpLimits,
}

/// Where the value of a secret is, and where it may go.
#[derive(Clone, Debug)]
pub struct SecretSource {
    /// Where the value is.
    pub from: SecretFrom,
    /// The origins that may get it.
    pub hosts: Vec<String>,
}

/// Where the value of a secret is.
#[derive(Clone, Debug)]
pub enum SecretFrom {
    /// In an environment variable of the host.
    Env(String),
    /// In a file; line ends at its end do not count.
    File(PathBuf),
}

impl Outgoing {
    /// What the sandbox takes. A secret that has no value now is there all the same, with the reason: only the requests
    /// that need it are refused.
    ///
    /// # Errors
    /// When a certificate cannot be read, or an origin is none.
    pub(crate) fn open(&self) -> Result<Outbound, String> {
        let mut outbound =
            Outbound { networks: self.networks.clone(), limits: self.limits, ..Outbound::default() };
        for path in &self.authorities {
            let pem = read(path)?;
            let found = authorities_from_pem(pem.as_bytes());
            outbound.authorities.extend(found.map_err(|problem| format!("{}: {problem}", path.display()))?);
        }
        for (name, source) in &self.secrets {
            let value = value(&source.from);
            if let Err(problem) = &value {
                tracing::warn!(secret = %name, %problem, "a secret has no value; requests that need it are refused");
            }
            let secret = Secret::new(value, &source.hosts).map_err(|problem| format!("{name}: {problem}"))?;
            outbound.secrets.insert(name.clone(), secret);
        }
        Ok(outbound)
    }
}

fn value(from: &SecretFrom) -> Result<SecretValue, String> {
    let text = text_of(from)?;
    SecretValue::new(text).map_err(|problem| match from {
        SecretFrom::Env(name) => format!("the host's variable {name}: {problem}"),
        SecretFrom::File(path) => format!("{}: {problem}", path.display()),
    })
}

/// What stands there, without line ends at its end.
pub(super) fn text_of(from: &SecretFrom) -> Result<String, String> {
    match from {
        SecretFrom::Env(name) => std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => format!("the host's environment variable {name} is not set"),
            // The error's own text would show the value.
            std::env::VarError::NotUnicode(_) => format!("the host's variable {name} is no text"),
        }),
        SecretFrom::File(path) => Ok(read(path)?.trim_end_matches(['\n', '\r']).to_owned()),
    }
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}
