//! `bandstand completions SHELL`: the script that teaches a shell our verbs.

use clap::Args;
use clap_complete::Shell;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What `completions` is given.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script.
pub fn execute(args: &CompletionsArgs, context: &Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "bandstand", &mut script);
    context.out.text(&String::from_utf8_lossy(&script));
    Ok(Exit::Succeeded)
}
