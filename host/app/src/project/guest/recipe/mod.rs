//! How each language becomes a component. Everything that is made on the way lies in the project's folder `target`.

mod c;
mod go;
mod javascript;
mod python;
mod rust;
mod uses;

use std::path::Path;

use super::run::{BuildError, Runner};
use super::tool::Tools;
use super::{Language, Project, wasi_http};

/// The name of the only world that bindings of Python and JavaScript are made of.
const WORLD: &str = "plugin";
/// What `uses` calls the interfaces of `wasi:http`.
const HTTP: &str = "http";

/// Builds the component of a project.
///
/// # Errors
/// When the toolchain is not whole, which is looked at before anything runs; when a tool fails; when what comes out is no agent.
pub fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    match project.language {
        Language::C => c::build(project, tools, runner),
        Language::Go => go::build(project, tools, runner),
        Language::Javascript | Language::Typescript => javascript::build(project, tools, runner),
        Language::Python => python::build(project, tools, runner),
        Language::Rust => rust::build(project, tools, runner),
    }
}

/// A world of what every agent may import and of what the project uses, into `target/wit`: Python and JavaScript import all of their
/// world, so it holds nothing else.
fn write_world(project: &Project) -> Result<(), BuildError> {
    let mut world =
        format!("package local:plugin;\n\nworld {WORLD} {{\n  include bandstand:agent/minimal@0.1.0;\n");
    let wit = project.target()?.join("wit");
    // Tools read all that lies there: what another host wrote, or what `uses` named before, would be a part of it.
    match std::fs::remove_dir_all(&wit) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(BuildError::Write { path: wit, source });
        }
        _ => {}
    }
    for interface in project.uses() {
        if interface == HTTP {
            wasi_http::IMPORTS.iter().for_each(|import| world.push_str(&format!("  import {import};\n")));
            for (package, text) in wasi_http::packages().map_err(|problem| not_whole(&problem))? {
                write_package(&wit, &package, &text)?;
            }
        } else {
            world.push_str(&format!("  import bandstand:agent/{interface}@0.1.0;\n"));
        }
    }
    world.push_str("}\n");
    write_package(&wit, "bandstand-agent", &project.wit()?)?;
    write(&wit.join("world.wit"), world.as_bytes())
}

fn write_package(wit: &Path, package: &str, text: &str) -> Result<(), BuildError> {
    let folder = wit.join("deps").join(package);
    std::fs::create_dir_all(&folder).map_err(|source| BuildError::Write { path: folder.clone(), source })?;
    write(&folder.join("package.wit"), text.as_bytes())
}

/// The component that a tool made of the world of [`write_world`].
fn made_of_world(project: &Project) -> Result<Vec<u8>, BuildError> {
    let component = read(&project.dir.join("target/component.wasm"))?;
    if !project.uses().iter().any(|interface| interface == HTTP) {
        return Ok(component);
    }
    wasi_http::settled(component).map_err(|problem| BuildError::Source {
        what: format!("target/component.wasm is no component: {problem}"),
        help: "does the tool have the version that `bandstand plugin new` names?".to_owned(),
    })
}

fn not_whole(problem: &str) -> BuildError {
    BuildError::Source {
        what: format!("this host does not know `wasi:http`: {problem}"),
        help: "that is a fault of the host; please report it".to_owned(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    std::fs::write(path, bytes).map_err(|source| BuildError::Write { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::Read { path: path.to_owned(), source })
}

/// The source without which there is no agent.
fn must_have(project: &Project, file: &str) -> Result<(), BuildError> {
    if project.dir.join(file).is_file() {
        return Ok(());
    }
    Err(BuildError::Source {
        what: format!("{} has no {file}, which an agent in this language begins with", project.dir.display()),
        help: "how one looks: bandstand plugin new hello --lang LANGUAGE".to_owned(),
    })
}

/// The SDK that a project builds with.
fn must_have_sdk(project: &Project, sdk: &str, file: &str) -> Result<(), BuildError> {
    if project.dir.join(sdk).join(file).is_file() {
        return Ok(());
    }
    Err(BuildError::Source {
        what: format!("{}: there is no {file} in `{sdk}`, where the SDK should be", project.dir.display()),
        help: "`sdk` in plugin.toml says where it is; left out it is in the project, as `bandstand plugin new` leaves it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::plugin_toml::PluginToml;

    // R8.5
    #[test]
    fn what_an_earlier_build_left_is_no_part_of_the_world() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plugin.toml"), "name = \"a\"\nuses = [\"http\"]\n").unwrap();
        let read = || Project {
            dir: folder.path().to_owned(),
            language: Language::Python,
            settings: PluginToml::read(&folder.path().join("plugin.toml")).unwrap(),
        };
        write_world(&read()).unwrap();
        let wit = folder.path().join("target/wit");
        assert!(wit.join("deps/host-http").is_dir());
        // As hosts called it before.
        std::fs::copy(
            wit.join("deps/bandstand-agent/package.wit"),
            wit.join("deps/bandstand-agent/agent.wit"),
        )
        .unwrap();
        std::fs::write(folder.path().join("plugin.toml"), "name = \"a\"\n").unwrap();
        write_world(&read()).unwrap();
        let mut resolve = wit_parser::Resolve::default();
        resolve.push_dir(&wit).unwrap();
        assert!(!wit.join("deps/host-http").exists());
    }
}
