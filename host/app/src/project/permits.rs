//! What a plugin may really do: the narrower of what the workflow file asks and what `bandstand.toml` permits.
//! Without such a file the file's own grants hold: whoever types `run` is the operator.

use bandstand_engine::graph::{FilesAccess, Grants, MemoryAccess, PluginLimits};
use bandstand_engine::id::Id;
use bandstand_workflow::Permitted;

use super::config::{Config, Origin};
use super::models;
use crate::host::Lending;

/// The word of the language.
fn access_name(access: MemoryAccess) -> &'static str {
    match access {
        MemoryAccess::Read => "read",
        MemoryAccess::Write => "write",
    }
}

/// What the operator permits a plugin. `names` are what `[grants]` may call it: its path in the project or
/// `builtin:NAME`, and its digest. What several lines permit adds up. `place` is where a line would stand, for people.
pub fn permitted(config: &Config, names: &[&str], place: String) -> Permitted {
    let mut all = Permitted { place, ..Permitted::default() };
    for line in names.iter().filter_map(|name| config.grants.get(*name)) {
        all.memory = all.memory.max(line.memory);
        all.http.extend(line.http.iter().map(Origin::grant));
        for (all, line) in [
            (&mut all.model, &line.model),
            (&mut all.tools, &line.tools),
            (&mut all.secrets, &line.secrets),
            (&mut all.env, &line.env),
            (&mut all.files, &line.files),
        ] {
            all.extend(line.iter().cloned());
        }
        all.scratch |= line.scratch;
        all.clock |= line.clock.is_some();
        all.random |= line.random;
    }
    all
}

/// A plugin's powers in words: `memory: write, http: https://api.example.com`.
pub fn in_words(grants: &Grants) -> String {
    let mut words = Vec::new();
    let mut add = |key: &str, what: String| words.push(format!("{key}: {what}"));
    if let Some(access) = grants.memory {
        add("memory", access_name(access).to_owned());
    }
    let origins: Vec<&str> = grants.http.iter().map(|http| http.origin.as_str()).collect();
    let tools: Vec<&str> = grants.tools.iter().map(Id::as_str).collect();
    let files: Vec<&str> = grants.files.values().map(|files| files.path.as_str()).collect();
    fn strs(texts: &[String]) -> Vec<&str> {
        texts.iter().map(String::as_str).collect()
    }
    for (key, names) in [
        ("http", origins),
        ("model", strs(&grants.model)),
        ("tools", tools),
        ("secrets", strs(&grants.secrets)),
        ("env", strs(&grants.env)),
        ("files", files),
    ] {
        if !names.is_empty() {
            add(key, names.join(" "));
        }
    }
    if grants.clock.is_some() {
        add("clock", "coarse".to_owned());
    }
    if grants.random {
        add("random", "true".to_owned());
    }
    if words.is_empty() { "no grants".to_owned() } else { words.join(", ") }
}

/// Why no plugin is shown that environment variable of the host, whatever is granted.
pub fn kept_env(config: Option<&Config>, name: &str) -> Option<String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Some("that is no name of a variable".to_owned());
    }
    if name.starts_with("BANDSTAND_") {
        return Some("variables that begin with BANDSTAND_ are the host's own".to_owned());
    }
    let usual = models::key_variables(config).contains(name);
    let secret = config
        .is_some_and(|config| config.secrets.values().any(|secret| secret.env.as_deref() == Some(name)));
    if config.is_some_and(|config| config.telemetry.headers_env.as_deref() == Some(name)) {
        return Some("it holds headers for traces ([telemetry]), which no plugin sees".to_owned());
    }
    let signs = config
        .is_some_and(|config| config.notify.values().any(|settings| settings.secret_env() == Some(name)));
    match (usual, secret) {
        (true, _) => Some("it holds the key of a model, which no plugin sees".to_owned()),
        (_, true) => Some("it holds a secret ([secrets]), which no plugin sees; grant `secrets`".to_owned()),
        _ if signs => Some("it holds the key of a [notify], which no plugin sees".to_owned()),
        _ => None,
    }
}

/// What the host lends plugins of its own surroundings.
pub fn lending(config: Option<&Config>) -> Lending {
    let mut lending = Lending { env_kept: models::key_variables(config), ..Lending::default() };
    if let Some(config) = config {
        lending.env_kept.extend(config.telemetry.headers_env.clone());
        lending.env_kept.extend(config.secrets.values().filter_map(|secret| secret.env.clone()));
        lending
            .env_kept
            .extend(config.notify.values().filter_map(|settings| settings.secret_env().map(str::to_owned)));
        // What tools of the host are granted is permitted by being said.
        let tools = || config.tools.values().map(|tool| &tool.grants);
        let of_tools = tools().flat_map(|grants| grants.files.values());
        // The path of a scratch directory says nothing.
        let of_tools = of_tools.filter(|files| files.access == FilesAccess::Read).map(|files| &files.path);
        let directories = config.grants.values().flat_map(|line| &line.files).chain(of_tools);
        let directories = directories.map(|path| config.folder.join(path)).collect();
        lending.directories = config.rules_grants().then_some(directories);
        let secrets = config.secrets.values().filter_map(|secret| secret.file.as_ref());
        let signs = config.notify.values().filter_map(|settings| settings.secret_file());
        let models = config.models.values().flat_map(|choices| &choices.0);
        let keys = models.filter_map(|choice| choice.key_file.as_ref());
        lending.paths_kept = secrets
            .chain(keys)
            .chain(signs)
            .chain(&config.server.key)
            .map(|path| config.folder.join(path))
            .collect();
        let permitted = config.grants.values().flat_map(|line| &line.env);
        let permitted = permitted.chain(tools().flat_map(|grants| &grants.env)).cloned().collect();
        lending.env = config.rules_grants().then_some(permitted);
    }
    lending
}

/// The limits that hold: each the smaller of the file's and the operator's.
pub fn effective_limits(config: Option<&Config>, asked: &PluginLimits) -> PluginLimits {
    let maxima = config.map(|config| config.limits).unwrap_or_default();
    let narrower = |asked: u64, most: Option<u64>| most.map_or(asked, |most| asked.min(most));
    PluginLimits {
        memory_bytes: narrower(asked.memory_bytes, maxima.memory),
        cpu_ms: narrower(asked.cpu_ms, maxima.cpu),
        output_bytes: narrower(asked.output_bytes, maxima.output),
        log_bytes: narrower(asked.log_bytes, maxima.log),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::config::{self, Maxima};

    fn config(name: &str, line: config::Permitted) -> Config {
        Config { grants: [(name.to_owned(), line)].into(), ..Config::default() }
    }

    fn memory(access: MemoryAccess) -> config::Permitted {
        config::Permitted { memory: Some(access), ..config::Permitted::default() }
    }

    // R7.2
    #[test]
    fn the_operator_permits_by_path_or_digest_and_what_several_lines_say_adds_up() {
        let permitted = |config: &Config| permitted(config, &["a.wasm", "sha256:1"], String::new());
        assert_eq!(permitted(&Config::default()), Permitted::default());
        let by_path = config("a.wasm", memory(MemoryAccess::Write));
        assert_eq!(permitted(&by_path).memory, Some(MemoryAccess::Write));
        let by_digest = config("sha256:1", memory(MemoryAccess::Read));
        assert_eq!(permitted(&by_digest).memory, Some(MemoryAccess::Read));
        assert_eq!(permitted(&config("b.wasm", memory(MemoryAccess::Write))).memory, None);
        let mut both = config("a.wasm", memory(MemoryAccess::Read));
        let more = config::Permitted { model: vec!["small".to_owned()], ..memory(MemoryAccess::Write) };
        both.grants.extend(config("sha256:1", more).grants);
        let all = permitted(&both);
        assert_eq!((all.memory, all.model), (Some(MemoryAccess::Write), vec!["small".to_owned()]));
    }

    // R7.4
    #[test]
    fn limits_are_the_narrower_of_both() {
        let asked = PluginLimits::default();
        assert_eq!(effective_limits(None, &asked), asked);
        let limits = Maxima { memory: Some(1 << 20), cpu: Some(60_000), ..Maxima::default() };
        let effective = effective_limits(Some(&Config { limits, ..Config::default() }), &asked);
        assert_eq!(effective.memory_bytes, 1 << 20);
        assert_eq!(effective.cpu_ms, asked.cpu_ms);
    }
}
