//! `[telemetry]` of `bandstand.toml`: where traces go, and how the log is written. Metrics need no settings.

use serde::Deserialize;

use super::config::Config;
use crate::telemetry::{Headers, LogFormat, Otlp, OtlpError};

/// The name that traces carry when nobody gives one.
pub(super) const SERVICE_DEFAULT: &str = "bandstand";

/// `[telemetry]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TelemetrySettings {
    /// The receiver of traces over OTLP/HTTP: `http://127.0.0.1:4318`. Nothing: there are no traces.
    pub otlp: Option<String>,
    /// The environment variable with headers for it, `name=value,name=value`: keys do not belong into this file.
    pub headers_env: Option<String>,
    /// The name that traces carry.
    pub service: Option<String>,
    /// How the log is written, unless `--log-format` or `BANDSTAND_LOG` says it.
    pub log: Option<LogFormat>,
}

/// The receiver that the settings name. None: they name none.
///
/// # Errors
/// When the headers are not there or none.
pub fn otlp(config: Option<&Config>) -> Result<Option<Otlp>, OtlpError> {
    let Some(TelemetrySettings { otlp: Some(address), headers_env, service, .. }) =
        config.map(|config| &config.telemetry)
    else {
        return Ok(None);
    };
    let headers = match headers_env {
        None => Headers::default(),
        Some(name) => Headers::parse(&std::env::var(name).unwrap_or_default(), name)?,
    };
    Otlp::new(address, headers, service.as_deref().unwrap_or(SERVICE_DEFAULT)).map(Some)
}

/// What is wrong with the settings.
pub(super) fn problem(config: &Config) -> Option<String> {
    let settings = &config.telemetry;
    if settings.otlp.is_none() && settings.headers_env.is_some() {
        return Some("[telemetry] `headers-env` is of no use without `otlp`".to_owned());
    }
    let address = settings.otlp.as_deref()?;
    let error = Otlp::new(address, Headers::default(), SERVICE_DEFAULT).err()?;
    Some(format!("[telemetry] {error}"))
}
