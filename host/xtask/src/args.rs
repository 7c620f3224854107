//! What was typed after `cargo xtask`, as a value. It does nothing with it.

use std::ffi::OsString;

use anyhow::{Result, bail};
use lexopt::prelude::*;

/// What `cargo xtask help` prints.
pub(crate) const HELP: &str = "\
cargo xtask VERB

  plugins [--only NAME]... [--debian]
                   build the agents of plugins/agents into target/plugins/NAME.wasm
  builtins         build the agents of Rust that come with the host into host/app/assets/NAME.wasm
  demo [ARGS]      build plugins and host, and review a real licence (examples/06-licence-review);
                   ARGS go to `bandstand run`
  test [--fast] [-- ARGS]
                   plugins, their own tests, then every test of the host; ARGS go to `cargo test`;
                   --fast sets BANDSTAND_TEST_FAST=1, by which the slow suites shorten themselves
  schemas [--check]
                   write the generated files of host/docs; --check only says which ones are stale
  bench [ARGS]     run tests/bench in release; ARGS go to it
  fuzz TARGET [ARGS]
                   look for inputs that break a reader (tests/fuzz): component, workflow, expression, reply
                   or journal; ARGS go to libFuzzer, such as -max_total_time=600

The wasm target comes from rustup; where rustup cannot fetch, from Debian's packages, unpacked into
your cache folder (--debian takes these at once). Nothing is installed into the system.
";

/// One verb with its options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Run the benchmark with these arguments.
    Bench(Vec<OsString>),
    /// Build the agents that come with the host.
    Builtins,
    /// Build what the flagship example needs and run it; the arguments are for `bandstand run`.
    Demo(Vec<OsString>),
    /// Look for inputs that break this reader, with these arguments for the fuzzer.
    Fuzz {
        /// What reads them.
        target: String,
        /// For libFuzzer.
        rest: Vec<OsString>,
    },
    /// Print [`HELP`].
    Help,
    /// Build the plugins.
    Plugins(PluginOptions),
    /// Write the generated files, or only compare them.
    Schemas {
        /// Compare, and fail on a difference.
        check: bool,
    },
    /// Run all tests.
    Test {
        /// Let the slow suites shorten themselves.
        fast: bool,
        /// For `cargo test`.
        rest: Vec<OsString>,
    },
}

/// What `cargo xtask plugins` can be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PluginOptions {
    /// Only these agents; none: all.
    pub(crate) only: Vec<String>,
    /// Pass over rustup and use Debian's packages.
    pub(crate) debian: bool,
}

/// Reads a whole command line, the program's own name first.
pub(crate) fn parse(command_line: impl IntoIterator<Item = OsString>) -> Result<Verb> {
    let mut parser = lexopt::Parser::from_iter(command_line);
    let verb = match parser.next()? {
        None | Some(Short('h') | Long("help")) => return Ok(Verb::Help),
        Some(Value(verb)) => verb.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match verb.as_str() {
        "help" => Ok(Verb::Help),
        "plugins" => plugins(parser),
        "builtins" => builtins(parser),
        "demo" => Ok(Verb::Demo(parser.raw_args()?.collect())),
        "bench" => Ok(Verb::Bench(parser.raw_args()?.skip_while(|arg| arg == "--").collect())),
        "fuzz" => fuzz(parser),
        "test" => test(parser),
        "schemas" => schemas(parser),
        other => {
            bail!(
                "there is no verb `{other}`. Verbs: plugins, builtins, demo, test, schemas, bench, fuzz, help"
            )
        }
    }
}

fn plugins(mut parser: lexopt::Parser) -> Result<Verb> {
    let mut options = PluginOptions::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("only") => options.only.push(parser.value()?.string()?),
            Long("debian") => options.debian = true,
            Short('h') | Long("help") => return Ok(Verb::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Verb::Plugins(options))
}

fn fuzz(mut parser: lexopt::Parser) -> Result<Verb> {
    let target = match parser.next()? {
        Some(Value(target)) => target.string()?,
        _ => bail!("name the target: component, workflow, expression, reply or journal"),
    };
    Ok(Verb::Fuzz { target, rest: parser.raw_args()?.skip_while(|arg| arg == "--").collect() })
}

fn builtins(mut parser: lexopt::Parser) -> Result<Verb> {
    match parser.next()? {
        None => Ok(Verb::Builtins),
        Some(Short('h') | Long("help")) => Ok(Verb::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn test(mut parser: lexopt::Parser) -> Result<Verb> {
    let (mut fast, mut rest) = (false, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Long("fast") => fast = true,
            Short('h') | Long("help") => return Ok(Verb::Help),
            Value(value) => {
                rest.push(value);
                rest.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Verb::Test { fast, rest })
}

fn schemas(mut parser: lexopt::Parser) -> Result<Verb> {
    let mut check = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("check") => check = true,
            Short('h') | Long("help") => return Ok(Verb::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Verb::Schemas { check })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Verb> {
        parse(std::iter::once("xtask").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn verbs_and_their_options() {
        assert_eq!(read("").unwrap(), Verb::Help);
        assert_eq!(read("plugins").unwrap(), Verb::Plugins(PluginOptions::default()));
        let some = PluginOptions { only: vec!["echo".into(), "split".into()], debian: true };
        assert_eq!(read("plugins --only echo --debian --only=split").unwrap(), Verb::Plugins(some));
        assert_eq!(read("schemas --check").unwrap(), Verb::Schemas { check: true });
    }

    #[test]
    fn what_is_not_ours_goes_on_untouched() {
        let rest = vec!["--seed".into(), "7".into()];
        assert_eq!(read("bench --seed 7").unwrap(), Verb::Bench(rest.clone()));
        assert_eq!(read("bench -- --seed 7").unwrap(), Verb::Bench(rest));
        let fuzz = Verb::Fuzz { target: "reply".to_owned(), rest: vec!["-runs=1".into()] };
        assert_eq!(read("fuzz reply -runs=1").unwrap(), fuzz);
        let rest = vec!["-p".into(), "bandstand-engine".into()];
        assert_eq!(read("test --fast -- -p bandstand-engine").unwrap(), Verb::Test { fast: true, rest });
    }

    #[test]
    fn a_wrong_verb_names_the_right_ones() {
        let text = read("plugin").unwrap_err().to_string();
        assert!(text.contains("`plugin`") && text.contains("plugins, builtins, demo"), "{text}");
        assert!(read("plugins --fast").is_err());
        assert!(read("fuzz").unwrap_err().to_string().contains("workflow"));
    }
}
