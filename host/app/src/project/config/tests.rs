//! What `bandstand.toml` may say, and what is refused.

use bandstand_sandbox::{CallLimits, HttpLimits, Settings};
use bandstand_store::{Keep, Rule, RunStatus};

use std::path::Path;

use bandstand_engine::graph::MemoryAccess;

use super::*;

#[test]
fn a_full_file_is_read() {
    let text = "durability = \"process\"\n[grants]\n\"plugins/a.wasm\" = { memory = \"write\" }\n\
                [limits]\nmemory = \"128MiB\"\ncpu = \"500ms\"\n[compile]\nmemory = \"8GiB\"\ntime = \"5m\"\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.durability, Durability::Process);
    assert_eq!(config.grants["plugins/a.wasm"].memory, Some(MemoryAccess::Write));
    assert_eq!(config.limits.memory, Some(128 << 20));
    assert_eq!(config.limits.cpu, Some(500));
    assert_eq!(config.limits.output, None);
    assert_eq!(config.compile, Compile { memory: Some(8 << 30), time: Some(300_000), cache: None });
    assert_eq!(Config::parse("").unwrap(), Config::default());
}

// R7.4: what errors and `plugin inspect` call a setting is a key that this file takes, or one of workflow files.
#[test]
fn every_setting_that_is_named_is_there() {
    let named: Vec<bandstand_sandbox::Limit> = [
        CallLimits::default().all(),
        Settings {
            compiler: Some(bandstand_sandbox::Compiler::of_this_program([""])),
            ..Settings::default()
        }
        .all(),
        HttpLimits::default().all(),
    ]
    .concat();
    assert!(named.len() > 25);
    for no_key in ["host.cores", "limits.wall", "instances_max", "timeouts", "limits.memory-max"] {
        assert!(!is_a_key(no_key) && !is_in_workflow_files(no_key), "{no_key}");
    }
    for limit in named {
        match limit.set_by {
            bandstand_sandbox::SetBy::Host(key) => assert!(is_a_key(key), "{}: {key}", limit.name),
            bandstand_sandbox::SetBy::Workflow(key) => {
                assert!(is_in_workflow_files(key), "{}: {key}", limit.name)
            }
            bandstand_sandbox::SetBy::Fixed => {}
        }
    }
    let mut found = 0;
    for name in named_in_texts(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))) {
        found += 1;
        assert!(is_a_key(&name) || is_in_workflow_files(&name), "an error names the setting `{name}`");
    }
    assert!(found > 15, "{found}");
}

// R8.4: a setting that were read and not known could be set by no variable and would be in no template.
#[test]
fn every_setting_that_is_read_is_known() {
    let known = known::all();
    // Read only to be refused without being shown: a secret may stand there.
    let refused_always = ["models.NAME.key"];
    let is_known = |path: &str| {
        let place: Vec<String> = path.split('.').map(str::to_owned).collect();
        known.iter().any(|one| one.is_at(&place) || one.path.starts_with(&format!("{path}.")))
    };
    for (section, _) in known::SECTIONS {
        // Whoever is asked for what it does not know tells all that it knows.
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let asked = header.replace("NAME", "n").replace("PLUGIN", "p").replace("[tools.ID", "[tools.i");
        let asked = asked.replace("STATUS", "failed");
        let refused = toml::from_str::<Config>(&format!("{asked}not-there = 1\n")).unwrap_err().to_string();
        let told = refused
            .lines()
            .find(|line| line.contains("expected"))
            .unwrap_or_else(|| panic!("{section}: {refused}"));
        let names: Vec<&str> = told.split('`').skip(3).step_by(2).collect();
        assert!(!names.is_empty(), "{section}: {refused}");
        for name in names {
            let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            assert!(
                is_known(&path) || refused_always.contains(&path.as_str()),
                "`{path}` is read and stands not in known.rs"
            );
        }
    }
}

/// `[table]` and `key`, with whatever value it takes.
fn is_a_key(name: &str) -> bool {
    let Some((table, key)) = name.rsplit_once('.') else { return false };
    ["\"10s\"", "\"1MiB\"", "1", "true"]
        .iter()
        .any(|value| toml::from_str::<Config>(&format!("[{table}]\n{key} = {value}\n")).is_ok())
}

fn is_in_workflow_files(name: &str) -> bool {
    let (node, plugin) = match name.split_once('.') {
        None => (format!("    {name}: 10s\n"), String::new()),
        Some(("limits", "cpu")) => (String::new(), ", limits: { cpu: 10s }".to_owned()),
        Some(("limits", key)) => (String::new(), format!(", limits: {{ {key}: 1MiB }}")),
        Some(_) => return false,
    };
    let text = format!(
        "format: 1\nname: w\nversion: 1\nplugins:\n  p: {{ builtin: echo{plugin} }}\nnodes:\n  n:\n    agent: p\n\
         {node}    next: end\n"
    );
    let features = bandstand_workflow::Features::default();
    let options = bandstand_workflow::Options { file: "w.yaml".to_owned(), resolver: None, features };
    bandstand_workflow::check(text.as_bytes(), &options).graph.is_some()
}

/// What stands behind `setting` or `settings` and looks like a key, in the texts of all errors.
fn named_in_texts(folder: &Path) -> std::collections::BTreeSet<String> {
    let mut names = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                names.extend(named_in_texts(&path));
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // A text that goes over two lines of the source is one line of the error.
        let text = text.replace("\\\n", " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (at, _) in
            text.match_indices("(setting").chain(text.match_indices(concat!("\"set", "ting limits.")))
        {
            let rest = text[at + 1..].trim_start_matches("settings").trim_start_matches("setting");
            let Some(rest) = rest.strip_prefix(' ') else { continue };
            for word in rest.split(", ") {
                let key: String =
                    word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-' || *c == '.').collect();
                let key = key.trim_end_matches('.');
                if !key.is_empty() && !word.starts_with('{') && !word.contains("{name}") {
                    names.insert(key.to_owned());
                }
                if word.contains(')') || word.contains('"') {
                    break;
                }
            }
        }
    }
    names
}

// R7.4
#[test]
fn limits_of_the_host_are_set_in_part() {
    let config = Config::parse(
        "[host]\ninstances = 4\nqueue = 0\nqueue-wait = \"1s\"\nmemory = \"1GiB\"\nscratch = \"2MiB\"\n\
         [limits]\nhost-calls = \"1MiB\"\nmemory = \"1GiB\"\ncpu = \"1s\"\nopen-files = 7\n\
         [http]\nrequests = 3\nfirst-byte = \"5s\"\nresponse-body = \"1MiB\"\n",
    )
    .unwrap();
    let settings = config.host.apply(Settings::default());
    assert_eq!((settings.instances_max, settings.queue_max, settings.queue_wait_ms_max), (4, 0, 1_000));
    assert_eq!((settings.memory_bytes_total_max, settings.scratch_bytes_total_max), (1 << 30, 2 << 20));
    assert_eq!(settings.component_bytes_max, Settings::default().component_bytes_max);
    let attempt = config.limits.apply(CallLimits::default());
    assert_eq!((attempt.host_call_bytes_max, attempt.open_files_max), (1 << 20, 7));
    // A maximum gives nobody more than was asked for.
    assert_eq!((attempt.memory_bytes_max, attempt.cpu_ms), (64 << 20, 1_000));
    let http = config.outgoing().limits;
    assert_eq!((http.requests_max, http.first_byte_ms, http.response_body_bytes_max), (3, 5_000, 1 << 20));
    assert_eq!(http.requests_per_attempt_max, HttpLimits::default().requests_per_attempt_max);
}

// R5.7
#[test]
fn what_is_kept_is_said_by_workflow_and_status() {
    let text = "[retention]\nage = \"30d\"\nsize = \"2GiB\"\n[retention.status.failed]\nage = \"90d\"\n\
                [retention.workflow.triage]\ncount = 500\n\
                [retention.workflow.\"audit log\".status.succeeded]\nall = true\n";
    let rules = Config::parse(text).unwrap().retention.rules().rules;
    let rule =
        |workflow: Option<&str>, status, keep| Rule { workflow: workflow.map(str::to_owned), status, keep };
    let keep = Keep::default();
    let day = 86_400_000;
    assert_eq!(
        rules,
        [
            rule(None, None, Keep { age_ms: Some(30 * day), size_bytes: Some(2 << 30), ..keep }),
            rule(None, Some(RunStatus::Failed), Keep { age_ms: Some(90 * day), ..keep }),
            rule(Some("audit log"), None, keep),
            rule(Some("audit log"), Some(RunStatus::Succeeded), Keep { all: true, ..keep }),
            rule(Some("triage"), None, Keep { count: Some(500), ..keep }),
        ]
    );
    assert!(Config::parse("").unwrap().retention.rules().is_empty());
}

// R1.10
#[test]
fn quarantine_is_set_in_part_or_switched_off() {
    let settings = |text: &str| Config::parse(text).unwrap().quarantine.settings();
    let default = bandstand_driver::Quarantine::default();
    assert_eq!(settings(""), default);
    let set = settings("[quarantine]\nfaults = 3\ncool-down = \"1h\"\n");
    assert_eq!((set.faults, set.cool_down_ms, set.cool_down_max_ms), (3, 3_600_000, 3_600_000));
    assert!(set.enabled && !settings("[quarantine]\nenabled = false").enabled);
}

#[test]
fn what_is_unknown_or_malformed_is_refused_with_its_place() {
    for (text, expected) in [
        ("durabilty = \"full\"", "durabilty"),
        ("[grants]\n\"a.wasm\" = { network = true }", "network"),
        ("[grants]\n\"sha256:abc\" = { memory = \"read\" }", "64 hexadecimal"),
        ("[limits]\nmemory = \"lots\"", "lots"),
        ("[limits]\ncpu = \"0s\"", "0s"),
        ("[limits", "line 1"),
        ("[compile]\ncores = 3", "`cores`, expected one of `memory`, `time`, `cache`"),
        ("[retention]\ncuont = 3", "`cuont`, expected one of `age`, `count`, `size`"),
        ("[retention]\nage = \"soon\"", "soon"),
        ("[retention]\ncount = -1", "count"),
        ("[retention.status.waiting]\ncount = 1", "`waiting`, expected one of `succeeded`, `failed`"),
        (
            "[quarantine]\nfault = 3",
            "`fault`, expected one of `enabled`, `faults`, `cool-down`, `cool-down-max`",
        ),
        ("[quarantine]\nfaults = 0", "nonzero"),
        ("[quarantine]\ncool-down = \"soon\"", "soon"),
        ("[quarantine]\ncool-down-max = \"1s\"", "`cool-down-max` is shorter than `cool-down`"),
        ("[http]\nnetworks = [\"10.0.0.0/40\"]", "no network"),
        ("[http]\nproxy = \"x\"", "proxy"),
        ("[host]\ninstances = 0", "nonzero"),
        ("[host]\ninstances = 5000", "4096 at most"),
        ("[host]\ncores = 3", "`cores`, expected one of `instances`"),
        ("[grants]\n\"a.wasm\" = { env = [\"BANDSTAND_DATA\"] }", "the host's own"),
        ("[grants]\n\"a.wasm\" = { env = [\"OPENAI_API_KEY\"] }", "holds the key of a model"),
        ("[grants]\n\"a.wasm\" = { env = [\"A=B\"] }", "no name"),
        ("[grants]\n\"a.wasm\" = { files = [\"../data\"] }", "no path inside the project"),
        ("[grants]\n\"a.wasm\" = { files = [\"/data\"] }", "no path inside the project"),
        (
            "[grants]\n\"a.wasm\" = { env = [\"K\"] }\n[models.m]\nprovider = \"openai\"\nmodel = \"x\"\nkey-env = \"K\"",
            "holds the key of a model",
        ),
        (
            "[grants]\n\"a.wasm\" = { env = [\"S\"] }\n[secrets.s]\nenv = \"S\"\nhosts = [\"https://a.example\"]",
            "holds a secret",
        ),
        (
            "[secrets.A]\nenv = \"A\"\n[grants]\n\"a.wasm\" = { secrets = [\"A\"] }",
            "has no `hosts`, so it goes nowhere",
        ),
        (
            "[grants]\n\"a.wasm\" = { env = [\"N\"] }\n[notify.n]\nurl = \"https://a.example/\"\nsecret = { env = \"N\" }",
            "holds the key of a [notify]",
        ),
        ("[secrets.A]\nhosts = [\"https://a.example\"]", "either `env"),
        ("[secrets.A]\nenv = \"A\"\nfile = \"a\"\nhosts = [\"https://a.example\"]", "either `env"),
        ("[secrets.A]\nenv = \"A\"\nhosts = [\"a.example\"]", "no origin"),
        ("[secrets.A]\nenv = \"A\"\nhosts = [\"http://a.example\"]", "https only"),
        ("[secrets.\"a b\"]\nenv = \"A\"\nhosts = [\"https://a.example\"]", "letters, digits"),
        ("[secrets.A]\nvalue = \"x\"\nhosts = [\"https://a.example\"]", "value"),
        ("[grants]\n\"a.wasm\" = { secrets = [\"A\"] }", "no secret `A`"),
        ("[grants]\n\"a.wasm\" = { http = [\"a.example\"] }", "no origin"),
        ("[retention.workflow.w]\nkeep = true", "`keep`, expected one of `age`"),
    ] {
        let problem = Config::parse(text).unwrap_err();
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}
