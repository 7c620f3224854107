//! Settings of the environment hold before those of the file, and what is no setting is refused (issue 5, R7.4).

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};

use bandstand_crash::Site;

fn config(site: &Site, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let variables = variables.iter().copied();
    Command::new(site.binary()).current_dir(site.path()).args(args).envs(variables).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_setting_in_force_tells_where_it_comes_from() {
    let site = Site::new(&[]);
    let variables = [("BANDSTAND__SERVER__RATE", "7"), ("BANDSTAND__QUARANTINE__COOL_DOWN_MAX", "9s")];
    let shown = config(&site, &["config", "show", "--origin"], &variables);
    let shown = text(&shown.stdout);
    for line in [
        "server.rate = 7  # BANDSTAND__SERVER__RATE",
        "quarantine.cool-down-max = \"9s\"  # BANDSTAND__QUARANTINE__COOL_DOWN_MAX",
        "quarantine.cool-down = \"1s\"  # bandstand.toml:2",
        "server.listen = \"127.0.0.1:7420\"  # default",
        "# server.key is not set",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
}

#[test]
fn what_is_no_setting_is_refused_with_what_was_meant() {
    let site = Site::new(&[]);
    for (name, value, expected) in [
        ("BANDSTAND__SERVER__RATTE", "7", "did you mean `server.rate`, BANDSTAND__SERVER__RATE?"),
        ("BANDSTAND__SERVER__RATE", "many", "in `server.rate`"),
        ("BANDSTAND__SERVR__RATE", "7", "did you mean `server`, BANDSTAND__SERVER?"),
        ("BANDSTAND__QUARANTINE__COOL_DOWN", "1h", "`cool-down-max` is shorter"),
    ] {
        for args in [&["config", "show"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let refused = config(&site, args, &[(name, value)]);
            assert_eq!(refused.status.code(), Some(2), "{name}");
            let told = text(&refused.stderr);
            assert!(told.contains(name) && told.contains(expected), "{name}: {told}");
        }
    }
    let secret = ("BANDSTAND__NOTIFY__DESK__SECRET", "hunter2");
    let refused =
        config(&site, &["config", "show"], &[secret, ("BANDSTAND__NOTIFY__DESK__URL", "https://a.example/")]);
    assert!(!text(&refused.stderr).contains("hunter2") && text(&refused.stdout).is_empty());
    // A secret where its place belongs.
    for name in ["BANDSTAND__SECRETS__API", "BANDSTAND__TOKENS__ADA"] {
        let refused = config(&site, &["config", "show"], &[(name, "hunter2")]);
        let told = text(&refused.stderr);
        assert!(
            refused.status.code() == Some(2) && told.contains(name) && !told.contains("hunter2"),
            "{told}"
        );
    }
}

#[test]
fn an_address_that_is_told_is_shown_without_its_path() {
    let site = Site::new(&[]);
    let variables = [
        ("BANDSTAND__NOTIFY__DESK__URL", "https://hooks.example/services/key"),
        ("BANDSTAND__NOTIFY__DESK__SECRET", "{ env = \"DESK_KEY\" }"),
    ];
    let shown = text(&config(&site, &["config", "show", "--json"], &variables).stdout);
    assert!(shown.contains("https://hooks.example/...") && shown.contains("DESK_KEY"), "{shown}");
    assert!(!shown.contains("services"), "{shown}");
}

#[test]
fn every_setting_of_the_template_is_taken() {
    let site = Site::new(&[]);
    let template = text(&config(&site, &["config", "template", "--json"], &[]).stdout);
    let mut settings = 0;
    for line in template.lines() {
        let known: serde_json::Value = serde_json::from_str(line).unwrap();
        settings += 1;
        let path =
            known["setting"].as_str().unwrap().replace("STATUS", "failed").replace("PLUGIN", "\"a.wasm\"");
        let (table, key) = path.rsplit_once('.').unwrap_or(("", &path));
        let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        std::fs::write(
            site.path().join("bandstand.toml"),
            format!("{head}{key} = {}\n", known["example"].as_str().unwrap()),
        )
        .unwrap();
        let shown = config(&site, &["config", "show"], &[]);
        let told = text(&shown.stderr);
        // Some need others beside them; none is unknown or of another kind.
        assert!(
            !told.contains("unknown") && !told.contains("TOML parse error") || told.contains("missing field"),
            "{path}: {told}"
        );
    }
    assert!(settings > 100, "{settings}");
}
