//! Reads what a component imports and exports from its bytes, without compiling or running any of it.
//!
//! Function bodies are skipped by [`inspect`], since compiling checks them; [`Compiler::validate`](crate::Compiler::validate) is for
//! who compiles nothing.

use crate::engine;
use crate::exported;
use crate::load_error::{LoadError, Refused};
use crate::offered::{self, AGENT_VERSION};
use crate::plugin::Import;
use crate::sanitise::sanitise;
use crate::settings::Grants;
use bandstand_signature::{Function, FunctionName, NotFound};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{Parser, Payload, ValidPayload, Validator, WasmFeatures};

/// The custom section in which an SDK or the packer leaves the manifest.
pub const MANIFEST_SECTION: &str = "bandstand:manifest";
/// Where the standard tools leave what a component is for.
const DESCRIPTION_SECTION: &str = "description";
/// The largest description that is kept. Bytes.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
/// The largest manifest that is read. Bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Components and modules inside each other. Those that toolchains compose nest a few deep, and the work that wasmtime
/// does for one grows with the square of its depth.
const DEPTH_MAX: usize = 64;
/// What is kept of the name of an import or export, which may be a whole URL. Bytes.
pub(crate) const NAME_BYTES_MAX: usize = 500;

/// What a component is, as far as its bytes tell.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// `sha256:` and 64 hexadecimal digits, over the bytes as given.
    pub digest: String,
    /// Bytes.
    pub size_bytes: usize,
    /// Everything it imports, in its own order.
    pub imports: Vec<Import>,
    /// Everything it exports, in its own order.
    pub exports: Vec<String>,
    /// The functions among them, also those inside interfaces: by themselves first to last, at most 1,000.
    pub functions: Vec<Function>,
    /// What stands in the section [`MANIFEST_SECTION`], of the component itself before those inside it: as text, read no
    /// further. Says nothing about powers: those are read from `imports`.
    pub manifest: Option<Result<String, NoManifestText>>,
    /// What it says that it is for, in its standard section `description`: for people and models, proof of nothing.
    pub description: Option<String>,
}

/// The section of the manifest holds no text that is read. The component is none the worse for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoManifestText {
    /// There is too much of it.
    #[error("it has {size_bytes} bytes, {MANIFEST_BYTES_MAX} are the most")]
    TooLarge {
        /// Bytes.
        size_bytes: usize,
    },
    /// It is something else.
    #[error("it is not UTF-8 text (byte {})", valid_up_to + 1)]
    NotText {
        /// How many bytes of it are text.
        valid_up_to: usize,
    },
}

impl Inspection {
    /// The powers it needs, each once, sorted.
    #[must_use]
    pub fn capabilities(&self) -> Vec<&'static str> {
        let mut needed: Vec<_> = self.imports.iter().filter_map(|import| import.capability).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Whether this host could run it with these grants.
    ///
    /// # Errors
    /// As [`Inspection::runnable`]; else that imports are not granted (all are named).
    pub fn check(&self, grants: &Grants) -> Result<(), LoadError> {
        self.runnable()?;
        let missing = self.not_granted(grants);
        if missing.is_empty() { Ok(()) } else { Err(LoadError::NotGranted(missing)) }
    }

    /// Whether this host could run it if it were granted everything.
    ///
    /// # Errors
    /// The first of: no agent, an agent of another version, imports that do not exist here (all are named).
    pub fn runnable(&self) -> Result<(), LoadError> {
        match self.node() {
            None => {
                return Err(LoadError::NoNode {
                    exports: self.exports.clone(),
                    offered: AGENT_VERSION,
                    functions: self.callable().map(Function::full_name).collect(),
                });
            }
            Some(found) if !offered::in_range(offered::split_version(found).1, "0.1.") => {
                return Err(LoadError::WrongVersion { found: found.to_owned(), offered: AGENT_VERSION });
            }
            Some(_) => {}
        }
        self.importable()
    }

    /// Whether this host could call its function of that name if it were granted everything.
    ///
    /// # Errors
    /// The first of: the name is none, no such function, one that cannot be called, imports that do not exist here (all are
    /// named).
    pub fn runnable_function(&self, name: &str) -> Result<&Function, LoadError> {
        let wanted = FunctionName::parse(name)
            .map_err(|reason| LoadError::FunctionName { name: sanitise(name, NAME_BYTES_MAX), reason })?;
        let found =
            bandstand_signature::find(&self.functions, &wanted).map_err(|not_found| match not_found {
                NotFound::Unknown => LoadError::NoFunction {
                    name: wanted.to_string(),
                    functions: self.functions.iter().map(told).collect(),
                },
                NotFound::Several(names) => LoadError::SeveralFunctions { name: wanted.to_string(), names },
            })?;
        if let Some(reason) = found.problem() {
            return Err(LoadError::NotCallable {
                name: found.full_name(),
                signature: found.signature(),
                reason,
            });
        }
        self.importable()?;
        Ok(found)
    }

    /// Whether this host could call anything of it if it were granted everything: the agent that it is or, if it is none, one
    /// of its functions.
    ///
    /// # Errors
    /// As [`Inspection::runnable`].
    pub fn is_of_use(&self) -> Result<(), LoadError> {
        if self.node().is_none() && self.callable().next().is_some() {
            return self.importable();
        }
        self.runnable()
    }

    /// The functions that a workflow file may name.
    pub fn callable(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(|function| function.problem().is_none())
    }

    /// Whether a function of it is the agent that it is.
    #[must_use]
    pub fn is_own(&self, function: &Function) -> bool {
        function.interface.as_deref().is_some_and(offered::is_node)
    }

    /// Whether everything that it imports exists here.
    ///
    /// # Errors
    /// The imports that do not, all of them.
    pub fn importable(&self) -> Result<(), LoadError> {
        let unknown: Vec<Refused> = self
            .imports
            .iter()
            .filter(|import| !import.types_only)
            .filter_map(|import| offered::refusal(&import.interface, &import.functions))
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err(LoadError::UnknownImports(unknown)) }
    }

    /// The name under which it exports the agent, whatever its version; none: it is no agent.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.exports.iter().map(String::as_str).find(|name| offered::is_node(name))
    }

    /// Imports that these grants do not cover.
    #[must_use]
    pub fn not_granted(&self, grants: &Grants) -> Vec<Refused> {
        self.imports.iter().filter_map(|import| offered::ungranted(&import.interface, grants)).collect()
    }
}

/// Reads a component.
///
/// # Errors
/// When the bytes are not a component at all: text, another file, a core module, damaged. A component that is no
/// agent is inspected all the same; [`Inspection::check`] tells.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    recognise(bytes)?;
    // All of them: what a component is can be told, also when this host leaves something out that it uses.
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let (mut imports, mut exports, mut named) = (Vec::new(), Vec::new(), Vec::new());
    let (mut outer, mut inner) = (None, None);
    let mut description = None;
    let mut depth = 0_usize;
    let mut types = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(LoadError::TooMany { what: "components inside each other", max: DEPTH_MAX });
                }
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section.clone() {
                    imports.push(import.map_err(malformed)?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section.clone() {
                    let name = export.map_err(malformed)?.name.name;
                    exports.push(sanitise(name, NAME_BYTES_MAX));
                    named.push(name);
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                let place = if depth == 0 { &mut outer } else { &mut inner };
                place.get_or_insert_with(|| section.data());
            }
            Payload::CustomSection(section) if section.name() == DESCRIPTION_SECTION && depth == 0 => {
                description.get_or_insert_with(|| section.data());
            }
            Payload::End(_) if depth > 0 => depth -= 1,
            _ => {}
        }
        if let ValidPayload::End(found) = validator.payload(&payload).map_err(malformed)? {
            types = Some(found);
        }
    }
    let types = types.ok_or_else(|| LoadError::Malformed { message: "it ends too early".to_owned() })?;
    Ok(Inspection {
        digest: digest(bytes),
        size_bytes: bytes.len(),
        imports: imports.into_iter().map(|name| describe(name, &types)).collect(),
        exports,
        functions: exported::functions(named.into_iter(), &types),
        manifest: outer.or(inner).map(manifest_text),
        description: description
            .filter(|data| data.len() <= DESCRIPTION_BYTES_MAX)
            .and_then(|data| std::str::from_utf8(data).ok())
            .map(|text| sanitise(text, DESCRIPTION_BYTES_MAX)),
    })
}

/// Whether all of a component that can be inspected is valid, its code included, with no more of WebAssembly than this host compiles.
/// Nothing bounds the memory and time that a hostile one takes: [`Compiler::validate`](crate::Compiler::validate) asks a child.
///
/// # Errors
/// The first place that is not.
pub fn validate(bytes: &[u8]) -> Result<(), LoadError> {
    Validator::new_with_features(engine::features()).validate_all(bytes).map(drop).map_err(malformed)
}

fn malformed(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Malformed { message: sanitise(&error.to_string(), 500) }
}

fn manifest_text(data: &[u8]) -> Result<String, NoManifestText> {
    if data.len() > MANIFEST_BYTES_MAX {
        return Err(NoManifestText::TooLarge { size_bytes: data.len() });
    }
    match std::str::from_utf8(data) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(NoManifestText::NotText { valid_up_to: error.valid_up_to() }),
    }
}

/// Where a native file says for which system it is, and what wasmtime says there.
const ELF_SYSTEM: usize = 7;
const ELF_SYSTEM_WASMTIME: u8 = 200;
const COMPILED: &str = "it is compiled code (`.cwasm`), which could only be trusted, not checked, and is never loaded; \
                        give the component that it was made of, the host compiles it";

/// Tells apart what people hand in by mistake.
fn recognise(bytes: &[u8]) -> Result<(), LoadError> {
    let looks_like = match bytes {
        [] => "the file is empty",
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => return Err(LoadError::CoreModule),
        [b'\0', b'a', b's', b'm', ..] => return Ok(()),
        [0x7f, b'E', b'L', b'F', ..] if bytes.get(ELF_SYSTEM) == Some(&ELF_SYSTEM_WASMTIME) => COMPILED,
        [b'b', b'a', b'n', b'd', b's', b't', b'n', ..] => COMPILED,
        [0x7f, b'E', b'L', b'F', ..] => "it is a native program, not WebAssembly",
        [0x1f, 0x8b, ..] | [b'P', b'K', ..] => "it is a compressed archive; unpack it first",
        [b'(', ..] | [b';', b';', ..] => "it is WebAssembly text; turn it into bytes with `wasm-tools parse`",
        _ if std::str::from_utf8(&bytes[..bytes.len().min(512)]).is_ok() => "it is a text file",
        _ => "it is some other kind of file",
    };
    Err(LoadError::NotWasm { looks_like })
}

/// A function in one line, for people.
fn told(function: &Function) -> String {
    let why_not = function.problem().map(|problem| format!(" ({problem})")).unwrap_or_default();
    let whole = format!("{}: {}", function.full_name(), function.signature());
    format!("{}{why_not}", sanitise(&whole, NAME_BYTES_MAX))
}

fn describe(name: &str, types: &Types) -> Import {
    let mut functions = Vec::new();
    let mut types_only = false;
    // A name may be a URL, with anything in it. Made safe it may look like one that is known, but is not linked.
    let interface = sanitise(name, NAME_BYTES_MAX);
    match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            types_only = exported::is_types_only(id, types);
            for (name, item) in &types[id].exports {
                if matches!(item.ty, ComponentEntityType::Func(_)) {
                    functions.push(sanitise(name, NAME_BYTES_MAX));
                }
            }
        }
        Some(ComponentEntityType::Func(_)) => functions.push(interface.clone()),
        _ => {}
    }
    let version = offered::split_version(&interface).1.map(str::to_owned);
    Import { capability: offered::capability(&interface), version, functions, interface, types_only }
}

/// `sha256:` and the digest in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
