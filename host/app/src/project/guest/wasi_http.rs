//! `wasi:http` for agents in languages other than Rust: as far as the host's own agent `http` uses it, read from that component, so that
//! there is one place which says what a request needs.
//!
//! While a component is built the interfaces stand in the namespace `host`, and get their own when it is whole. The runtimes of these
//! languages bring WASI of some 0.2.x with them. The tools for Python and Go merge interfaces of equal names and refuse when ours has less
//! than theirs; the one for JavaScript runs the component once, with a base of WASI that does not fit its stand-ins for HTTP.

use wasmparser::{Parser, Payload};
use wit_component::{DecodedWasm, WitPrinter};

use super::super::builtin;

/// In a world: the interfaces that a request needs.
pub(super) const IMPORTS: [&str; 2] = ["host:http/types@0.2.0", "host:http/outgoing-handler@0.2.0"];

const NAMESPACE: &str = "wasi";
/// As long as [`NAMESPACE`], so that names are changed in place.
const STAND_IN: &str = "host";

/// The packages that these are made of: a folder for each, and its text.
///
/// # Errors
/// When the host's own agent is not what it was when this was written; a test would have told.
pub(super) fn packages() -> Result<Vec<(String, String)>, String> {
    let agent = builtin::named("http").ok_or("there is no builtin `http`")?;
    let decoded = wit_component::decode(agent.bytes).map_err(|error| format!("{error:#}"))?;
    let DecodedWasm::Component(mut resolve, _) = decoded else {
        return Err("the builtin `http` is no component".to_owned());
    };
    let mut ids = Vec::new();
    for (id, package) in
        resolve.packages.iter_mut().filter(|(_, package)| package.name.namespace == NAMESPACE)
    {
        package.name.namespace = STAND_IN.to_owned();
        // The lowest: a host of any 0.2.x has it, and it is not that of the runtime beside it.
        if let Some(version) = &mut package.name.version {
            version.patch = 0;
        }
        ids.push(id);
    }
    let printed = |id| {
        let mut printer = WitPrinter::default();
        printer.print(&resolve, id, &[]).map_err(|error| format!("{error:#}"))?;
        let name = &resolve.packages[id].name;
        Ok((format!("{}-{}", name.namespace, name.name), printer.output.to_string()))
    };
    ids.into_iter().map(printed).collect()
}

/// The component with its imports by their own names.
pub(super) fn settled(mut component: Vec<u8>) -> Result<Vec<u8>, String> {
    let names = stand_ins(&component).map_err(|error| error.to_string())?;
    for at in names {
        component[at..at + NAMESPACE.len()].copy_from_slice(NAMESPACE.as_bytes());
    }
    Ok(component)
}

/// Where the names of imports begin that stand in for others.
fn stand_ins(component: &[u8]) -> wasmparser::Result<Vec<usize>> {
    let mut found = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import?.name.name;
                    if name.strip_prefix(STAND_IN).is_some_and(|rest| rest.starts_with(':')) {
                        // The name is a part of the component's own bytes.
                        found.push(name.as_ptr() as usize - component.as_ptr() as usize);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7.2
    #[test]
    fn the_packages_have_what_a_request_needs() {
        let packages = packages().unwrap();
        let names: Vec<&str> = packages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["host-io", "host-clocks", "host-http"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let mut resolve = wit_parser::Resolve::default();
        for (name, text) in &packages {
            assert!(text.starts_with("package host:") && !text.contains("wasi:"), "{text}");
            resolve.push_str(name, text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
        for import in IMPORTS {
            assert!(
                resolve.interfaces.iter().any(|(id, _)| resolve.id_of(id).as_deref() == Some(import)),
                "{import}"
            );
        }
    }

    #[test]
    fn only_names_of_imports_are_changed() {
        let text = "(component
            (component (import \"host:io/poll@0.2.0\" (instance)))
            (import \"host:io/streams@0.2.0\" (instance (export \"host:io\" (func))))
            (import \"hosts:a/b\" (instance)))";
        let expected = text.replace("(import \"host:io/streams", "(import \"wasi:io/streams");
        let changed = settled(wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(changed, wat::parse_str(expected).unwrap());
        assert!(settled(b"text".to_vec()).is_err());
    }
}
