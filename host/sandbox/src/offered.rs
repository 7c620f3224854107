//! What this host offers to import, and which power each of it needs. Compared with a component's imports by name
//! before anything is linked: the linker stops at the first mismatch and does not speak of grants.

use crate::load_error::Refused;
use crate::settings::Grants;

/// The package of the agent's interfaces.
pub const AGENT_PACKAGE: &str = "bandstand:agent";
/// The version that this host speaks; components of any 0.1.x load if they use nothing newer.
pub const AGENT_VERSION: &str = "0.1.0";

/// One interface of the agent's package.
struct Offer {
    interface: &'static str,
    functions: &'static [&'static str],
    /// Those of them that change what the power is over.
    writing: &'static [&'static str],
    capability: Option<&'static str>,
}

const OFFERS: &[Offer] = &[
    Offer { interface: "types", functions: &[], writing: &[], capability: None },
    Offer { interface: "log", functions: &["write", "last-words"], writing: &[], capability: None },
    Offer { interface: "progress", functions: &["chunk", "report"], writing: &[], capability: None },
    Offer {
        interface: "memory-audit",
        functions: &["append", "snapshot"],
        writing: &["append"],
        capability: Some("memory"),
    },
    Offer {
        interface: "memory-facts",
        functions: &["put", "search", "forget", "reflect", "consolidate"],
        writing: &["put", "forget", "reflect", "consolidate"],
        capability: Some("memory"),
    },
    Offer {
        interface: "memory-slots",
        functions: &["get", "set", "list"],
        writing: &["set"],
        capability: Some("memory"),
    },
    Offer {
        interface: "model",
        functions: &[
            "chat",
            "chat-stream",
            "embed",
            "[method]answer.next",
            "[resource-drop]answer",
            "answer",
        ],
        writing: &[],
        capability: Some("model"),
    },
    Offer { interface: "tools", functions: &["list", "call"], writing: &[], capability: Some("tools") },
];

/// The base of WASI 0.2. It is always there and nothing stands behind it, so none of it is a power.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What else of WASI 0.2 can be granted, and the power it needs.
const GRANTED_WASI: &[(&str, &str)] = &[("wasi:http/outgoing-handler", "http"), ("wasi:http/types", "http")];

/// `a:b/c@1.2.3` as `("a:b/c", Some("1.2.3"))`.
pub(crate) fn split_version(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    }
}

/// Whether it is the interface by which agents are called, in whatever version.
pub(crate) fn is_node(name: &str) -> bool {
    split_version(name).0.strip_prefix(AGENT_PACKAGE) == Some("/node")
}

/// Whether a version belongs to a compatible range: `0.1.` or `0.2.`, and no pre-release.
pub(crate) fn in_range(version: Option<&str>, range: &str) -> bool {
    version
        .and_then(|version| version.strip_prefix(range))
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The power that an interface needs, if any.
pub(crate) fn capability(interface: &str) -> Option<&'static str> {
    let (name, _) = split_version(interface);
    match GRANTED_WASI.iter().find(|(wasi, _)| *wasi == name) {
        Some((_, capability)) => Some(capability),
        None => offer(interface)?.capability,
    }
}

/// Whether any of these functions of an interface changes what its power is over.
pub(crate) fn writes(interface: &str, functions: &[String]) -> bool {
    let writing = offer(interface).map_or(&[][..], |offer| offer.writing);
    functions.iter().any(|function| writing.contains(&function.as_str()))
}

fn offer(interface: &str) -> Option<&'static Offer> {
    let (name, _) = split_version(interface);
    let short = name.strip_prefix(AGENT_PACKAGE)?.strip_prefix('/')?;
    OFFERS.iter().find(|offer| offer.interface == short)
}

/// Why an import cannot be served, or `None`. One of types alone is not asked for: nothing has to stand behind it.
pub(crate) fn refusal(interface: &str, functions: &[String]) -> Option<Refused> {
    let (name, version) = split_version(interface);
    let refused = |reason: String| Some(Refused { interface: interface.to_owned(), reason });
    if let Some(short) = name.strip_prefix(AGENT_PACKAGE).and_then(|rest| rest.strip_prefix('/')) {
        let Some(offer) = OFFERS.iter().find(|offer| offer.interface == short) else {
            return refused(format!("{AGENT_PACKAGE}@{AGENT_VERSION} has no such interface"));
        };
        if !in_range(version, "0.1.") {
            return refused(format!("this host offers {AGENT_PACKAGE}/{short}@{AGENT_VERSION}"));
        }
        let missing: Vec<&str> = functions
            .iter()
            .map(String::as_str)
            .filter(|function| !offer.functions.contains(function))
            .collect();
        if !missing.is_empty() {
            return refused(format!("this host's {AGENT_VERSION} of it has no {}", missing.join(", ")));
        }
        return None;
    }
    if WASI.contains(&name) || GRANTED_WASI.iter().any(|(wasi, _)| *wasi == name) {
        if in_range(version, "0.2.") {
            return None;
        }
        return refused("this host offers WASI 0.2".to_owned());
    }
    if name.starts_with("wasi:http/") {
        return refused("this host offers wasi:http/outgoing-handler and wasi:http/types".to_owned());
    }
    if name == "wasi_snapshot_preview1" {
        return refused("WASI 0.1; build for WASI 0.2, or add the adapter with `wasm-tools`".to_owned());
    }
    refused("no such interface here".to_owned())
}

/// Why an import may not be used with these grants, or `None`.
pub(crate) fn ungranted(interface: &str, grants: &Grants) -> Option<Refused> {
    let capability = capability(interface).filter(|capability| !grants.covers(capability))?;
    Some(Refused {
        interface: interface.to_owned(),
        reason: match capability {
            "memory" => "add `grants: {memory: read}` or `write` to the plugin".to_owned(),
            "http" => "add `grants: {http: [\"https://api.example.com\"]}` to the plugin".to_owned(),
            _ => format!("add `grants: {{{capability}: [name]}}` to the plugin"),
        },
    })
}
