//! `cargo run -p bandstand-simulation -- [--seeds N] [--from M] [--seen] [--whole] [--replay FILE] [--mistake NAME [--save FILE]]`:
//! runs seeds of the simulator; exit code 1 when one shows a problem.

#![allow(clippy::print_stdout)] // a program for people

use std::process::ExitCode;
use std::sync::Mutex;

use bandstand_simulation::report::{Seen, run_seeds, tell};
use bandstand_simulation::seed::{Found, replay, show};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(problem) => {
            println!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let (mut seeds, mut from, mut shows_seen, mut whole, mut save) = (10_000, 0, false, false, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seeds" => seeds = value()?.parse().map_err(|_| "--seeds takes a number")?,
            "--from" => from = value()?.parse().map_err(|_| "--from takes a number")?,
            "--seen" => shows_seen = true,
            "--whole" => whole = true,
            "--save" => save = Some(value()?),
            "--replay" => return repeat(&value()?),
            "--mistake" => plant(&value()?)?,
            _ => {
                return Err(format!(
                    "`{argument}` is unknown; there are --seeds --from --seen --whole --save --replay --mistake"
                ));
            }
        }
    }
    let seen = Mutex::new(Seen::new());
    let found = run_seeds(from, seeds, shows_seen.then_some(&seen));
    for (name, count) in seen.into_inner().unwrap_or_default() {
        println!("{count:8} {name}");
    }
    let Some((seed, found)) = found else {
        println!("{seeds} seeds from {from}: nothing was found");
        return Ok(ExitCode::SUCCESS);
    };
    if whole {
        // Shrinking takes its time.
        let told = replay(found.subject, &found.tapes, true).err().map_or(String::new(), |problem| problem.0);
        println!("{told}\nseed {seed} shows in {:?}: {}", found.subject, found.problem);
        return Ok(ExitCode::FAILURE);
    }
    println!("{}", tell(seed, &found));
    if let Some(path) = save {
        let small = bandstand_simulation::shrink::shrink(&found);
        let text = serde_json::to_string(&small).map_err(|error| error.to_string())?;
        std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(ExitCode::FAILURE)
}

fn repeat(path: &str) -> Result<ExitCode, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let found: Found = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    println!("{}", show(found.subject, &found.tapes));
    match replay(found.subject, &found.tapes, true) {
        Ok(_) => {
            println!("nothing was found");
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => {
            println!("{}", problem.0);
            Ok(ExitCode::FAILURE)
        }
    }
}

#[cfg(feature = "mistakes")]
fn plant(name: &str) -> Result<(), String> {
    use bandstand_simulation::planted::Planted;
    let planted = Planted::all().into_iter().find(|planted| planted.name() == name);
    let names: Vec<String> = Planted::all().into_iter().map(Planted::name).collect();
    Planted::plant(Some(planted.ok_or_else(|| format!("there are these mistakes: {}", names.join(" ")))?));
    Ok(())
}

#[cfg(not(feature = "mistakes"))]
fn plant(_: &str) -> Result<(), String> {
    Err("mistakes are planted with `--features mistakes` only".to_owned())
}
