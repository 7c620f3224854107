//! What a component says of itself: JSON in its custom section `bandstand:manifest`, written by `plugin build` and
//! `plugin pack`, read without running anything.
//!
//! A manifest is a claim of whoever made the component. Powers are never read from it, and one that cannot be read takes
//! nothing away: the component is then one without a manifest.

use std::sync::Arc;

use bandstand_engine::schema::{NotASchema, Schema};
use bandstand_sandbox::{
    AGENT_PACKAGE, Import, Inspection, LoadError, MANIFEST_BYTES_MAX, MANIFEST_SECTION, NoManifestText,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Longest `name`, `version`, `sdk`, and entry of `uses` and `secrets`. Bytes.
pub const WORD_BYTES_MAX: usize = 100;
/// Longest `description`. Bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
/// Most entries of `uses`, and of `secrets`.
pub const ENTRIES_MAX: usize = 64;

/// What a component says of itself. Every member may be missing. Members that are not known are passed over: a later SDK may
/// write them, and nothing depends on them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Manifest {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The author's version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is for, for people and models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema 2020-12 of its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub input: Option<Value>,
    /// JSON Schema 2020-12 of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub output: Option<Value>,
    /// The interfaces that it says it uses, such as `memory-slots`; none: it says nothing. Never a grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<Vec<String>>,
    /// The secrets that it wants to be lent, by name. Never a grant.
    #[serde(deserialize_with = "or_none", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What it was made with, such as `python 0.1.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<String>,
}

/// A manifest is damaged, or says what it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The section is no text, or too large.
    #[error("the section `{MANIFEST_SECTION}` cannot be read: {0}")]
    NoText(#[from] NoManifestText),
    /// The text is not what it must be.
    #[error("the section `{MANIFEST_SECTION}` is not the JSON of a manifest: {0}")]
    NotJson(String),
    /// A text is too long, or a list too large.
    #[error("`{member}` of the manifest has {found} {what}, {max} are the most")]
    TooLarge {
        /// Which member.
        member: &'static str,
        /// How much there is.
        found: usize,
        /// Of what.
        what: &'static str,
        /// How much there may be.
        max: usize,
    },
    /// A schema is none.
    #[error("`{member}` of the manifest is {source}")]
    Schema {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        source: NotASchema,
    },
}

/// The manifest of a component's bytes cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are no component.
    #[error(transparent)]
    Component(#[from] LoadError),
    /// Its manifest is damaged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// A manifest cannot be put into these bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// They are no component.
    #[error("these bytes are not a WebAssembly component")]
    NotAComponent,
    /// They are the beginning of a component, or damaged.
    #[error("the component is damaged: the section at byte {at} does not end inside of it")]
    Damaged {
        /// Where that section begins.
        at: usize,
    },
    /// The manifest is not one that could be read again.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Manifest {
    /// The manifest of an inspected component; `None`: it has none.
    ///
    /// # Errors
    /// When it is damaged, or beyond its bounds.
    pub fn of(inspection: &Inspection) -> Result<Option<Manifest>, ManifestError> {
        let Some(text) = &inspection.manifest else { return Ok(None) };
        let text = text.as_ref().map_err(Clone::clone)?;
        let not_json = |error: serde_json::Error| ManifestError::NotJson(error.to_string());
        let value: Value = serde_json::from_str(text).map_err(not_json)?;
        if !value.is_object() {
            return Err(ManifestError::NotJson("it holds no object".to_owned()));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(not_json)?;
        manifest.check()?;
        Ok(Some(manifest))
    }

    /// Holds it against its bounds and compiles its schemas once.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ManifestError> {
        bounded("name", self.name.as_deref(), WORD_BYTES_MAX)?;
        bounded("version", self.version.as_deref(), WORD_BYTES_MAX)?;
        bounded("description", self.description.as_deref(), DESCRIPTION_BYTES_MAX)?;
        bounded("sdk", self.sdk.as_deref(), WORD_BYTES_MAX)?;
        for (member, entries) in
            [("uses", self.uses.as_deref().unwrap_or_default()), ("secrets", &self.secrets)]
        {
            if entries.len() > ENTRIES_MAX {
                let found = entries.len();
                return Err(ManifestError::TooLarge { member, found, what: "entries", max: ENTRIES_MAX });
            }
            entries.iter().try_for_each(|entry| bounded(member, Some(entry), WORD_BYTES_MAX))?;
        }
        for (member, schema) in [("input", &self.input), ("output", &self.output)] {
            let Some(schema) = schema else { continue };
            Schema::of_stranger(Arc::new(schema.clone()))
                .map_err(|source| ManifestError::Schema { member, source })?;
        }
        Ok(())
    }

    /// Where it says something else of the component than the component itself, for people. What it imports is what counts.
    pub fn doubts(&self, inspection: &Inspection) -> Vec<String> {
        let Some(said) = &self.uses else { return Vec::new() };
        let mut imported: Vec<&str> = inspection.imports.iter().filter_map(interface_used).collect();
        imported.sort_unstable();
        imported.dedup();
        let list = |words: Vec<&str>| words.join(", ");
        let unsaid: Vec<&str> =
            imported.iter().copied().filter(|word| !said.iter().any(|said| said == word)).collect();
        let unused: Vec<&str> =
            said.iter().map(String::as_str).filter(|word| !imported.contains(word)).collect();
        let mut doubts = Vec::new();
        if !unsaid.is_empty() {
            doubts.push(format!(
                "it imports {}, which `uses` of its manifest does not name: it needs to be granted that all the same",
                list(unsaid)
            ));
        }
        if !unused.is_empty() {
            doubts.push(format!(
                "`uses` of its manifest names {}, which it does not import: it needs no grant of that",
                list(unused)
            ));
        }
        doubts
    }

    /// As it stands in the section.
    fn text(&self) -> Result<String, ManifestError> {
        self.check()?;
        let text = serde_json::to_string(self).map_err(|error| ManifestError::NotJson(error.to_string()))?;
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(NoManifestText::TooLarge { size_bytes: text.len() }.into());
        }
        Ok(text)
    }
}

/// A list, or `null` for none, as for all other members.
fn or_none<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(list)?.unwrap_or_default())
}

/// What `uses` calls the interface of an import, if that has a power.
fn interface_used(import: &Import) -> Option<&str> {
    let capability = import.capability?;
    let name = import.interface.split('@').next().unwrap_or_default();
    Some(name.strip_prefix(AGENT_PACKAGE).map_or(capability, |name| name.trim_start_matches('/')))
}

fn bounded(member: &'static str, text: Option<&str>, max: usize) -> Result<(), ManifestError> {
    let found = text.map_or(0, str::len);
    if found > max {
        return Err(ManifestError::TooLarge { member, found, what: "bytes", max });
    }
    Ok(())
}

/// The manifest in a component's bytes; `None`: it has none.
///
/// # Errors
/// When the bytes are no component, or its manifest is damaged.
pub fn read(component: &[u8]) -> Result<Option<Manifest>, ReadError> {
    let inspection = bandstand_sandbox::inspect(component)?;
    Ok(Manifest::of(&inspection)?)
}

/// The component with this manifest in a section of its own, at its end; one that it had there before is gone. Nothing else
/// of it changes, but its digest does.
///
/// # Errors
/// When the bytes are no component, or the manifest is beyond its bounds.
pub fn append(component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, AppendError> {
    let text = manifest.text()?;
    let mut packed = Vec::with_capacity(component.len() + text.len() + 64);
    packed.extend_from_slice(component.get(..PREAMBLE.len()).unwrap_or_default());
    if packed != PREAMBLE {
        return Err(AppendError::NotAComponent);
    }
    let mut at = PREAMBLE.len();
    while at < component.len() {
        let (end, payload) = section(component, at).ok_or(AppendError::Damaged { at })?;
        if !is_manifest(component[at], payload) {
            packed.extend_from_slice(&component[at..end]);
        }
        at = end;
    }
    let mut payload = leb(MANIFEST_SECTION.len());
    payload.extend_from_slice(MANIFEST_SECTION.as_bytes());
    payload.extend_from_slice(text.as_bytes());
    packed.push(CUSTOM);
    packed.extend(leb(payload.len()));
    packed.extend(payload);
    Ok(packed)
}

/// How every component begins: magic, version, layer.
const PREAMBLE: &[u8] = &[0, b'a', b's', b'm', 0x0d, 0, 1, 0];
/// The id of a custom section.
const CUSTOM: u8 = 0;

/// Where the section that begins at `at` ends, and what is in it.
fn section(bytes: &[u8], at: usize) -> Option<(usize, &[u8])> {
    let (size, begin) = read_leb(bytes, at + 1)?;
    let end = begin.checked_add(size)?;
    Some((end, bytes.get(begin..end)?))
}

fn is_manifest(id: u8, payload: &[u8]) -> bool {
    let name =
        read_leb(payload, 0).and_then(|(length, begin)| payload.get(begin..begin.checked_add(length)?));
    id == CUSTOM && name == Some(MANIFEST_SECTION.as_bytes())
}

/// The number at `at`, seven bits a byte and the lowest first, and where it ends.
fn read_leb(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut number = 0_u64;
    for index in 0..5 {
        let byte = *bytes.get(at.checked_add(index)?)?;
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(number).ok()?).ok()?, at + index + 1));
        }
    }
    None
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits are a byte");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
