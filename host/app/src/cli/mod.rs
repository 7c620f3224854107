//! The command line: what is typed, and what each verb does with it. One verb, one file.
//!
//! stdout carries data, stderr the rest; the exit codes are [`exit::Exit`]. Verbs that read open the store's file
//! read-only; verbs that change something go through [`crate::host::Access`]. No rule of a run lives here.

pub mod arguments;
pub mod backup;
pub mod check;
pub mod completions;
pub mod config;
pub mod context;
pub mod dev;
pub mod docs;
pub mod exit;
pub mod follow;
mod go_on;
pub mod history;
pub mod init;
pub mod json_input;
pub mod notify;
pub mod plugin;
pub mod prune;
pub mod review;
pub mod routing;
pub mod run;
pub mod runs;
pub mod schedule;
pub mod schema;
pub mod serve;
pub mod site;
pub mod stored;
pub mod term;
pub mod thread;
pub mod token;
pub mod tree;
pub mod workflow;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use context::{Context, Typed};
use exit::{Exit, Failure};
use term::out::{Out, Tone};

use crate::project::Directory;
use crate::telemetry::LogFormat;
use crate::telemetry::log::{self, LOG_ENV, LogOptions};

/// What is typed.
#[derive(Debug, Parser)]
#[command(name = "bandstand", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// For every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What is to be done.
    #[command(subcommand)]
    pub verb: Verb,
}

const ABOUT: &str = "Runs agent workflows whose agents are sandboxed WebAssembly components.";

const AFTER_HELP: &str = "\
Exit codes: 0 succeeded, 1 run failed, 2 wrong usage or invalid file, 3 not found or conflict,
4 waiting for a review, 74 storage failed, 130 interrupted.

Start here:  bandstand init hello && cd hello && bandstand run workflow.yaml";

/// Options of every verb.
#[derive(Args, Clone, Debug)]
pub struct GlobalArgs {
    /// Where runs are kept [default: .bandstand in the working directory]
    #[arg(long, global = true, env = "BANDSTAND_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Ask this server instead of a data directory: http://HOST:PORT or https://HOST:PORT. Its token stands in the variable
    /// BANDSTAND_TOKEN
    #[arg(long, global = true, env = "BANDSTAND_SERVER", hide_env_values = true, value_name = "URL")]
    pub server: Option<String>,
    /// With --server: a file with nothing in it but the token
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// With --server: certificates of authorities, PEM, that are believed beside the usual ones
    #[arg(long, global = true, env = "BANDSTAND_CA_FILE", hide_env_values = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// With --server: send the token to another machine without TLS, where everybody on the way can read it
    #[arg(long, global = true)]
    pub token_in_clear: bool,
    /// Print data as JSON, one document a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing on stderr but errors and what must be answered
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// How the host's own log on stderr is written [default: text; JSON where a server has no terminal]
    #[arg(long, global = true, env = LOG_ENV, hide_env_values = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Say more on stderr; twice for log lines of agents too
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start a project: workflow, settings and README that run as they are
    Init(init::InitArgs),
    /// Tell every problem of workflow files, running nothing
    #[command(alias = "validate")]
    Check(check::CheckArgs),
    /// Run a workflow and follow it to its end
    Run(run::RunArgs),
    /// Hold the data directory, make all its runs go on, and speak HTTP
    Serve(serve::ServeArgs),
    /// As `serve`, for whoever writes the files: shows what is wrong with them as they are saved, asks nobody for a token
    Dev(dev::DevArgs),
    /// Look at runs, drive them on, cancel, retry, fork, export, delete them
    #[command(subcommand)]
    Runs(runs::RunsVerb),
    /// Delete ended runs as `[retention]` of bandstand.toml says
    Prune(prune::PruneArgs),
    /// Copy the data directory as it is at this moment, while a host goes on
    Backup(backup::BackupArgs),
    /// Look at what waits for people, and answer it
    #[command(subcommand)]
    Review(review::ReviewVerb),
    /// Look at what threads keep for their next run, forget it
    #[command(subcommand)]
    Thread(thread::ThreadVerb),
    /// Show how routes were decided, by workflow, node and route
    Routing(routing::RoutingArgs),
    /// Look at workflow files
    #[command(subcommand)]
    Workflow(workflow::WorkflowVerb),
    /// Make plugins, look at them, try them out
    #[command(subcommand)]
    Plugin(plugin::PluginVerb),
    /// Make tokens for the HTTP API
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Look at who is told of reviews and runs, and test it
    #[command(subcommand)]
    Notify(notify::NotifyVerb),
    /// Show what begins by itself, and when
    #[command(subcommand)]
    Schedule(schedule::ScheduleVerb),
    /// Show the settings in force and where each comes from, or all that there are
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Print a schema of Bandstand's own formats
    #[command(subcommand)]
    Schema(schema::SchemaVerb),
    /// Print parts of the documentation that are generated
    #[command(subcommand, hide = true)]
    Docs(docs::DocsVerb),
}

/// The first argument with which the host calls itself to compile a plugin. It is no verb: nobody types it, and it reads
/// no settings.
pub const COMPILE_CHILD: &str = "__compile";

/// The whole program.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == COMPILE_CHILD) {
        return bandstand_sandbox::compile_main(arguments);
    }
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, typed(&matches))));
    let (cli, typed) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            if error.use_stderr() {
                // When stderr is gone nobody is left to tell.
                let _ = error.print();
                return ExitCode::from(Exit::Usage.code());
            }
            // Asked for, so it is data.
            let out = Out::new(false, false, 0);
            out.written(error.print().and_then(|()| std::io::stdout().flush()));
            return ExitCode::from(with_all_written(Exit::Succeeded, &out).code());
        }
    };
    let out = Out::new(cli.global.json, cli.global.quiet, cli.global.verbose);
    log_to_stderr(&out, &cli);
    let done = Context::new(&cli.global, typed, out.clone())
        .and_then(|context| execute(cli.verb, &cli.global, &context));
    let exit = match done {
        Ok(exit) => exit,
        Err(failure) => {
            report(&out, &failure);
            failure.exit
        }
    };
    ExitCode::from(with_all_written(exit, &out).code())
}

/// Which global options are typed. They may stand before the verb or behind it.
fn typed(matches: &ArgMatches) -> Typed {
    let (mut typed, mut at) = (Typed::default(), Some(matches));
    while let Some(matches) = at {
        let is = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        typed.data |= is("data");
        typed.server |= is("server");
        at = matches.subcommand().map(|(_, matches)| matches);
    }
    typed
}

/// Data that did not reach stdout is no success, whatever else went well. Told once, here.
fn with_all_written(exit: Exit, out: &Out) -> Exit {
    let Some(problem) = out.not_written() else { return exit };
    let failure = Failure::other(format!("cannot write to standard output: {problem}"))
        .help("what was run is kept: bandstand runs list; give the output a place with room");
    report(out, &failure);
    if exit == Exit::Succeeded { failure.exit } else { exit }
}

/// What the host itself has to say, for operators: warnings, and more with `-v`.
fn log_to_stderr(out: &Out, cli: &Cli) {
    let level = match (out.quiet, out.verbose) {
        (true, _) => tracing::Level::ERROR,
        (false, 0) => tracing::Level::WARN,
        (false, 1) => tracing::Level::INFO,
        (false, _) => tracing::Level::DEBUG,
    };
    let (served, dir) = match &cli.verb {
        Verb::Serve(args) => (true, args.dir.as_path()),
        _ => (false, Path::new(".")),
    };
    // Settings that cannot be read are told by whoever needs them.
    let settings = || Directory::at(dir).ok()?.config?.telemetry.log;
    let format = cli.global.log_format.or_else(settings);
    log::begin(LogOptions { format, level, colour: out.can_redraw && !out.json, serves: served });
}

fn execute(verb: Verb, global: &GlobalArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(refused) = context.api().and_then(|_| refused(&verb, context)) {
        return Err(refused);
    }
    match verb {
        Verb::Init(args) => init::execute(&args, context),
        Verb::Check(args) => check::execute(&args, context),
        Verb::Run(args) => run::execute(&args, context),
        Verb::Serve(args) => serve::execute(&args, context),
        Verb::Dev(args) => dev::execute(&args, context),
        Verb::Runs(verb) => runs::execute(&verb, context),
        Verb::Prune(args) => prune::execute(&args, context),
        Verb::Backup(args) => backup::execute(&args, context),
        Verb::Review(verb) => review::execute(&verb, context),
        Verb::Thread(verb) => thread::execute(&verb, context),
        Verb::Routing(args) => routing::execute(&args, context),
        Verb::Workflow(verb) => workflow::execute(&verb, context),
        Verb::Plugin(verb) => plugin::execute(&verb, context),
        Verb::Token(verb) => token::execute(&verb, context),
        Verb::Notify(verb) => notify::execute(&verb, context),
        Verb::Schedule(verb) => schedule::execute(&verb, context),
        Verb::Config(verb) => config::execute(&verb, global, context),
        Verb::Completions(args) => completions::execute(&args, context),
        Verb::Schema(verb) => schema::execute(&verb, context),
        Verb::Docs(verb) => docs::execute(&verb, context),
    }
}

/// Why a server is not asked for this. What needs no runs is done here all the same when only the environment names one.
fn refused(verb: &Verb, context: &Context) -> Option<Failure> {
    use plugin::PluginVerb;
    let folder = "it is about a folder of this machine";
    let components = "it works on components and settings of this machine";
    let (name, why) = match verb {
        Verb::Init(_) => ("init", folder),
        Verb::Serve(_) => ("serve", folder),
        Verb::Dev(_) => ("dev", folder),
        Verb::Token(_) => ("token", "a token becomes known by the bandstand.toml that the server reads"),
        Verb::Config(_) => ("config", "it shows the settings of a folder of this machine"),
        Verb::Completions(_) => ("completions", "it needs none"),
        Verb::Schema(_) => ("schema", "it needs none"),
        Verb::Docs(_) => ("docs", "it needs none"),
        Verb::Plugin(PluginVerb::New(_)) => ("plugin new", folder),
        Verb::Plugin(PluginVerb::Build(_)) => ("plugin build", folder),
        Verb::Plugin(PluginVerb::Precompile(_)) => ("plugin precompile", components),
        Verb::Plugin(PluginVerb::Verify(_)) => ("plugin verify", components),
        Verb::Plugin(PluginVerb::Test(_)) => ("plugin test", components),
        Verb::Prune(_) => {
            ("prune", "a server deletes ended runs by itself, as [retention] of its bandstand.toml says")
        }
        Verb::Backup(_) => ("backup", "it copies a data directory; run it where that is, with --data DIR"),
        Verb::Notify(_) => {
            ("notify", "it reads bandstand.toml; run it where the server's is, with --data DIR")
        }
        _ => return None,
    };
    let about_runs = matches!(verb, Verb::Prune(_) | Verb::Backup(_) | Verb::Notify(_));
    (context.is_server_typed() || about_runs).then(|| {
        Failure::usage(format!("{name} cannot be asked of a server: {why}"))
            .help("leave --server out, and BANDSTAND_SERVER unset")
    })
}

/// The clap tree, for completions and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

fn report(out: &Out, failure: &Failure) {
    if out.json {
        out.error_line(&term::safe::json(&serde_json::json!({ "error": failure.to_json() })));
        return;
    }
    out.error_line(&format!("{} {}", out.paint_err(Tone::Bad, "error:"), term::safe::block(&failure.what)));
    if let Some(help) = &failure.help {
        out.error_line(&format!(" {} {}", out.paint_err(Tone::Good, "help:"), term::safe::block(help)));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_of_verbs_is_sound() {
        super::command().debug_assert();
    }
}
