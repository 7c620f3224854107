//! Why a server did not do what a command asked it for, with the exit code and the advice that go with it.

use serde::Deserialize;

use super::token::TOKEN_ENV;

/// A problem as RFC 9457 has them, as far as a command looks at it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Told {
    /// The kind.
    #[serde(default)]
    pub code: String,
    /// What is wrong, where, and what to do next.
    #[serde(default)]
    pub detail: String,
    /// Of a workflow file: what is wrong with it.
    #[serde(default)]
    pub diagnostics: Vec<serde_json::Value>,
}

/// A server did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody takes the connection.
    #[error("no server answers at {origin}: {problem}")]
    Unreached {
        /// The address.
        origin: String,
        /// What the system says.
        problem: String,
    },
    /// Whoever answers is not who it should be.
    #[error("no secure connection to {origin}: {problem}")]
    Insecure {
        /// The address.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The connection broke, or nothing came for too long.
    #[error("the connection to {origin} broke before the answer was whole: {problem}")]
    Broken {
        /// The address.
        origin: String,
        /// What happened.
        problem: String,
    },
    /// What was typed cannot be sent.
    #[error(
        "the value for the header `{0}` has characters that no header may have; see that it was copied whole"
    )]
    Header(String),
    /// Something else listens there.
    #[error("{origin} answers, but not as a Bandstand server does: {problem}")]
    NotOurs {
        /// The address.
        origin: String,
        /// What it answered.
        problem: String,
    },
    /// What it says is not what this version knows.
    #[error(
        "the server at {origin} is bandstand {theirs} and this is {ours}, and they do not understand each other: {problem}"
    )]
    Version {
        /// The address.
        origin: String,
        /// Its version.
        theirs: String,
        /// This one's.
        ours: &'static str,
        /// What is not understood.
        problem: String,
    },
    /// The answer is longer than is read.
    #[error("the answer of {origin} has more than {bytes_max} bytes, the most that is read")]
    TooLarge {
        /// The address.
        origin: String,
        /// Bytes.
        bytes_max: u64,
    },
    /// The server said no.
    #[error("{}", told.detail)]
    Problem {
        /// What it said.
        told: Told,
        /// Whether a token was shown.
        with_token: bool,
    },
    /// What was downloaded cannot be written.
    #[error("{0}")]
    Written(String),
    /// A server does not take this.
    #[error("a server is not asked for this")]
    NotAsked,
}

impl ApiError {
    /// The exit code that a command ends with.
    pub fn exit_code(&self) -> u8 {
        let ApiError::Problem { told, .. } = self else {
            return if matches!(self, ApiError::Written(_) | ApiError::Header(_)) { 2 } else { 1 };
        };
        match told.code.as_str() {
            "bad-request" | "invalid" | "too-large" | "unsupported-type" => 2,
            "not-found" | "conflict" | "changed" | "key-reused" => 3,
            "storage" => 74,
            _ => 1,
        }
    }

    /// What to do next, where the error does not say it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            ApiError::Unreached { .. } => {
                "see that `bandstand serve` runs there and that --server is its address; it tells it when it starts"
            }
            ApiError::Insecure { .. } => {
                "if its certificate is of your own authority, name that: --ca-file FILE"
            }
            ApiError::Broken { .. } => "see whether the server still runs, then ask again",
            ApiError::NotOurs { .. } => {
                "see that --server is the address of `bandstand serve`, with its port"
            }
            ApiError::Version { .. } => "use the same version of bandstand for both",
            ApiError::Problem { told, with_token } => match (told.code.as_str(), with_token) {
                ("unauthorized", false) => {
                    return Some(format!(
                        "give it in the variable {TOKEN_ENV}, or in a file: --token-file FILE"
                    ));
                }
                ("unauthorized", true) => {
                    "whoever keeps the server makes one, `bandstand token new NAME --role ROLE`, and starts it again"
                }
                ("unavailable" | "too-many", _) => "ask again in a moment",
                _ => return None,
            },
            ApiError::TooLarge { .. } | ApiError::Written(_) | ApiError::Header(_) | ApiError::NotAsked => {
                return None;
            }
        };
        Some(help.to_owned())
    }

    /// Whether another try may find a server.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            ApiError::Unreached { .. } | ApiError::Broken { .. } => true,
            ApiError::Problem { told, .. } => ["unavailable", "too-many"].contains(&told.code.as_str()),
            _ => false,
        }
    }
}
