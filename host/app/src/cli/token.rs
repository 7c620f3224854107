//! `bandstand token new`: makes a token for the HTTP API. Only its digest is written anywhere; the token itself is printed
//! once.

use clap::{Args, Subcommand};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::arguments;
use super::context::Context;
use super::exit::{Exit, Failure};
use crate::project::server::Role;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// How a token begins, so that people and scanners know it for one.
const TOKEN_PREFIX: &str = "bandstand_";

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token: print it once, and the lines for bandstand.toml that make it known
    New(NewArgs),
}

/// What `new` is given.
#[derive(Args, Debug)]
pub struct NewArgs {
    /// What the token is called in bandstand.toml and in logs
    #[arg(value_name = "NAME", value_parser = token_name)]
    name: String,
    /// What whoever has it may do: viewer, reviewer, operator or admin; may be given several times
    #[arg(long, value_name = "ROLE", value_parser = role, required = true)]
    role: Vec<Role>,
    /// Who has it: answers to reviews are theirs [default: the token's name]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    user: Option<String>,
    /// A group that they belong to; may be given several times
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    group: Vec<String>,
}

fn role(word: &str) -> Result<Role, String> {
    Role::ALL.into_iter().find(|role| role.name() == word).ok_or_else(|| {
        let known: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("there is {}", known.join(", "))
    })
}

/// It is a bare key of TOML.
fn token_name(text: &str) -> Result<String, String> {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(bare) {
        return Err("a token's name has letters, digits, - and _, and at most 64 of them".to_owned());
    }
    Ok(text.to_owned())
}

/// Does it.
pub fn execute(verb: &TokenVerb, context: &Context) -> Result<Exit, Failure> {
    let TokenVerb::New(args) = verb;
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::other(format!("the system gives no random numbers: {error}")))?;
    let token = format!("{TOKEN_PREFIX}{}", hex(&bytes));
    let digest = format!("sha256:{}", hex(&Sha256::digest(&token)));
    let lines = settings(args, &digest);
    if context.out.json {
        context
            .out
            .json_line(&json!({ "name": args.name, "token": token, "digest": digest, "settings": lines }));
        return Ok(Exit::Succeeded);
    }
    context.out.note("the token, shown once and kept nowhere:");
    context.out.data(&token);
    context.out.note("");
    context.out.note("add to bandstand.toml, then start `bandstand serve` again:");
    context.out.data("");
    lines.lines().for_each(|line| context.out.data(line));
    Ok(Exit::Succeeded)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn settings(args: &NewArgs, digest: &str) -> String {
    let list = |words: Vec<&str>| {
        let quoted: Vec<String> = words.into_iter().map(|word| toml::Value::from(word).to_string()).collect();
        format!("[{}]", quoted.join(", "))
    };
    let roles = list(args.role.iter().map(|role| role.name()).collect());
    let mut text = format!("[tokens.{}]\ndigest = \"{digest}\"\nroles = {roles}\n", args.name);
    if let Some(user) = &args.user {
        text.push_str(&format!("user = {}\n", toml::Value::from(user.as_str())));
    }
    if !args.group.is_empty() {
        text.push_str(&format!("groups = {}\n", list(args.group.iter().map(String::as_str).collect())));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::project::server::Tokens;
    use std::collections::BTreeMap;

    #[test]
    fn the_lines_that_are_printed_are_settings() {
        let args = NewArgs {
            name: "desk".to_owned(),
            role: vec![Role::Reviewer, Role::Viewer],
            user: Some("Ada \"L\"".to_owned()),
            group: vec!["legal".to_owned()],
        };
        let text = settings(&args, &format!("sha256:{}", "0f".repeat(32)));
        let read: BTreeMap<String, Tokens> = toml::from_str(&text).unwrap();
        let token = &read["tokens"]["desk"];
        assert_eq!((token.digest, token.roles.as_slice()), ([15; 32], args.role.as_slice()));
        assert_eq!((token.user.as_ref(), &token.groups), (args.user.as_ref(), &args.group));
    }
}
