//! Values as `bandstand.toml` has them, those of workflow files among them: sizes, spans, networks.

use bandstand_sandbox::Network;
use serde::Deserialize;

/// `["10.0.0.0/8"]`.
pub(super) fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

/// `64MiB`, as in workflow files.
pub(in super::super) fn size<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed =
        [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)].into_iter().find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(1_u64 << shift).filter(|bytes| *bytes > 0)
        });
    parsed
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a size such as `64MiB`")))
}

/// `10s`, as in workflow files.
pub(in super::super) fn duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    span_ms(&text).map(Some).map_err(serde::de::Error::custom)
}

/// `500ms`, `10s`, `2m`, `1h`, `3d` in milliseconds.
///
/// # Errors
/// When it is none of these, or nothing.
pub fn span_ms(text: &str) -> Result<u64, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let parsed = units.into_iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(factor).filter(|ms| *ms > 0)
    });
    parsed.ok_or_else(|| format!("`{text}` is not a span such as `10s`"))
}
