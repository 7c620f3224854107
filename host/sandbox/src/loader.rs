//! From bytes to a plugin: checked, compiled or taken from what is kept, linked.
//!
//! Loads of one component wait for each other and share the outcome; loads of different ones go on side by side, as
//! far as there are compilers. So a component that takes all the time it is given holds up nobody but those who ask for
//! it.

use crate::answer::CODE_BYTES_MAX;
use crate::bindings::{AgentPre, types};
use crate::cache::{Cache, KeptCode};
use crate::callable::Callable;
use crate::compile_child::panic_text;
use crate::compile_times::CompileClock;
use crate::guest::Guest;
use crate::inspect::{Inspection, inspect};
use crate::lane::step_behind;
use crate::load_error::LoadError;
use crate::offered;
use crate::plugin::{Entry, Import, Loaded, Plugin};
use crate::sanitise::sanitise;
use crate::settings::{Grants, Settings};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

/// A load that goes on, and its end for all who wait for it.
type Flight = Arc<OnceLock<Result<Arc<Loaded>, LoadError>>>;

/// Makes plugins.
pub(crate) struct Loader {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    settings: Settings,
    sandbox_id: u64,
    /// Everything loaded and still in use, by digest.
    loaded: Mutex<HashMap<String, Weak<Loaded>>>,
    /// Everything that is being loaded, by digest.
    flights: Mutex<HashMap<String, Flight>>,
    compilers: Places,
    inspectors: Places,
    pub(crate) clock: CompileClock,
}

impl Loader {
    pub(crate) fn new(
        engine: Engine,
        linker: Linker<Guest>,
        cache: Option<Cache>,
        settings: Settings,
        sandbox_id: u64,
    ) -> Loader {
        // In this process one compiler uses all cores by itself.
        let places = settings.compiler.as_ref().map_or(1, |compiler| compiler.at_once_max.max(1));
        Loader {
            engine,
            linker,
            cache,
            settings,
            sandbox_id,
            loaded: Mutex::default(),
            flights: Mutex::default(),
            compilers: Places::of(places),
            inspectors: Places::of(1),
            clock: CompileClock::default(),
        }
    }

    /// The component, and of it the agent or the function of that name.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        grants: &Grants,
        function: Option<&str>,
    ) -> Result<Plugin, LoadError> {
        let inspection = self.inspect(bytes)?;
        // Before anything is shared: another caller's grants may differ.
        match function {
            None => inspection.runnable()?,
            Some(name) => inspection.runnable_function(name).map(drop)?,
        }
        let missing = inspection.not_granted(grants);
        if !missing.is_empty() {
            return Err(LoadError::NotGranted(missing));
        }
        let loaded = self.share(bytes, inspection)?;
        let entry = match function {
            None => Entry::Node(loaded.node.clone()?),
            Some(name) => Entry::Function(Arc::new(Callable::new(&loaded, name)?)),
        };
        Ok(Plugin::new(loaded, entry))
    }

    /// For who only wants its code to be there: whatever of it may be called, by whomever.
    pub(crate) fn precompile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let inspection = self.inspect(bytes)?;
        inspection.is_of_use()?;
        let is_agent = inspection.node().is_some();
        let loaded = self.share(bytes, inspection)?;
        if is_agent { loaded.node.clone().map(drop) } else { Ok(()) }
    }

    /// The component, made now or by somebody else.
    fn share(&self, bytes: &[u8], inspection: Inspection) -> Result<Arc<Loaded>, LoadError> {
        let digest = inspection.digest.clone();
        if let Some(loaded) = self.find_loaded(&digest) {
            return Ok(loaded);
        }
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.entry(digest.clone()).or_default().clone()
        };
        let outcome = flight.get_or_init(|| self.make(bytes, inspection)).clone();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(&digest).is_some_and(|known| Arc::ptr_eq(known, &flight)) {
            flights.remove(&digest);
        }
        outcome
    }

    /// Takes its imports and exports from its bytes: one component at a time, on a thread behind those that work for runs, since
    /// a large one takes milliseconds, and whoever brings one may bring it again and again.
    fn inspect(&self, bytes: &[u8]) -> Result<Inspection, LoadError> {
        let size_bytes_max = self.settings.component_bytes_max;
        if bytes.len() > size_bytes_max {
            return Err(LoadError::TooLarge { size_bytes: bytes.len(), size_bytes_max });
        }
        let _place = self.inspectors.take();
        std::thread::scope(|scope| {
            let behind = || {
                step_behind();
                inspect(bytes)
            };
            match std::thread::Builder::new().name("inspect".to_owned()).spawn_scoped(scope, behind) {
                Ok(thread) => thread.join().unwrap_or_else(|panic| {
                    let how = format!("a panic of its reader: {}", sanitise(panic_text(&*panic), 500));
                    Err(LoadError::CompilerCrash { how })
                }),
                // There is no thread to be had: this one is slower for others, that is all.
                Err(_) => inspect(bytes),
            }
        })
    }

    /// What is kept for a component, without loading it.
    pub(crate) fn kept_code(&self, digest: &str) -> KeptCode {
        match self.cache.as_ref().map(|cache| cache.read(digest)) {
            None | Some(Ok(None)) => KeptCode::None,
            Some(Ok(Some(code))) => KeptCode::Authentic { size_bytes: code.len() },
            Some(Err(refused)) => KeptCode::Refused { path: refused.path, reason: refused.reason },
        }
    }

    fn find_loaded(&self, digest: &str) -> Option<Arc<Loaded>> {
        let known = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(digest)?.upgrade()
    }

    fn make(&self, bytes: &[u8], inspection: Inspection) -> Result<Arc<Loaded>, LoadError> {
        // It may have been made between the look at what is loaded and the flight.
        if let Some(loaded) = self.find_loaded(&inspection.digest) {
            return Ok(loaded);
        }
        let component = self.code(bytes, &inspection.digest)?;
        let fits = |error: wasmtime::Error| LoadError::Incompatible {
            message: sanitise(&format!("{error:#}"), 1_000),
        };
        let linked = self.link(&component, &inspection).map_err(fits)?;
        // Whoever calls functions does not care whether it is an agent.
        let node = inspection
            .runnable()
            .and_then(|()| check_run(&self.engine, &component, inspection.node().unwrap_or_default()))
            .and_then(|()| AgentPre::new(linked.clone()).map_err(fits));
        let digest = inspection.digest.clone();
        let (sandbox_id, habit) = (self.sandbox_id, Arc::default());
        let loaded = Arc::new(Loaded { inspection, linked, node, sandbox_id, habit });
        let mut known = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, plugin| plugin.strong_count() > 0);
        known.insert(digest, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// Puts what the host offers behind what the component imports.
    fn link(&self, component: &Component, inspection: &Inspection) -> wasmtime::Result<InstancePre<Guest>> {
        let of_types = |import: &&Import| {
            import.types_only && offered::refusal(&import.interface, &import.functions).is_some()
        };
        let mut foreign = inspection.imports.iter().filter(of_types).peekable();
        if foreign.peek().is_none() {
            return self.linker.instantiate_pre(component);
        }
        // An interface that only defines types has to be there, and nothing has to be in it.
        let mut linker = self.linker.clone();
        for import in foreign {
            linker.instance(&import.interface)?;
        }
        linker.instantiate_pre(component)
    }

    fn code(&self, bytes: &[u8], digest: &str) -> Result<Component, LoadError> {
        if let Some(cache) = &self.cache {
            match cache.read(digest) {
                Ok(None) => {}
                Ok(Some(code)) => match revive(&self.engine, &code) {
                    Ok(component) => return Ok(component),
                    Err(error) => tracing::warn!("compiled code of {digest} is of no use: {error:#}"),
                },
                Err(refused) => tracing::warn!(
                    "compiled code in {} is not used: {}; compiling anew",
                    refused.path.display(),
                    refused.reason
                ),
            }
        }
        let code = {
            let _place = self.compilers.take();
            let since = Instant::now();
            let compiled = self.compile(bytes);
            self.clock.took(since.elapsed());
            compiled?
        };
        let component = revive(&self.engine, &code).map_err(|error| LoadError::Compile {
            message: sanitise(&format!("its code does not fit this host: {error:#}"), 1_000),
        })?;
        if let Some(cache) = &self.cache {
            cache.write(digest, &code);
        }
        Ok(component)
    }

    fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        let code = match &self.settings.compiler {
            Some(compiler) => compiler.compile(bytes)?,
            // A fault of the compiler is found by the component that provokes it, and must not take the host along.
            None => catch_unwind(AssertUnwindSafe(|| self.engine.precompile_component(bytes)))
                .map_err(|panic| LoadError::CompilerCrash {
                    how: format!("a panic: {}", sanitise(panic_text(&*panic), 500)),
                })?
                .map_err(|error| LoadError::Compile { message: sanitise(&format!("{error:#}"), 1_000) })?,
        };
        if code.len() > CODE_BYTES_MAX {
            let message = format!("its code has {} bytes, more than {CODE_BYTES_MAX}", code.len());
            return Err(LoadError::Compile { message });
        }
        Ok(code)
    }
}

/// Makes code runnable. The only place that trusts bytes.
#[expect(unsafe_code, reason = "wasmtime cannot check compiled code, only trust it")]
fn revive(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` needs bytes that `precompile_component` made. They come from it in this process; or from a
    // child that this process started to call it, through a pipe that no other process was given; or from the cache,
    // authenticated over these very bytes under a key that only this installation has, which `Cache::write` uses for
    // nothing but the first two. Code of another engine is refused by wasmtime itself.
    unsafe { Component::deserialize(engine, code) }
}

/// Whether the exported `run` has the type that the host calls. Linking looks at imports only, and the first attempt
/// would be a late time to find out.
fn check_run(engine: &Engine, component: &Component, node: &str) -> Result<(), LoadError> {
    let ty = component.component_type();
    let wrong = |message: &str| LoadError::Incompatible { message: format!("`{node}` {message}") };
    let Some(ComponentItem::ComponentInstance(instance)) =
        ty.get_export(engine, node).map(|export| export.ty)
    else {
        return Err(wrong("is not an interface"));
    };
    let Some(ComponentItem::ComponentFunc(run)) = instance.get_export(engine, "run").map(|export| export.ty)
    else {
        return Err(wrong("has no function `run`"));
    };
    run.typecheck::<(&types::Call,), (Result<types::Reply, types::Failure>,)>(&ty.instance_type())
        .map_err(|error| wrong(&sanitise(&format!("has another `run`: {error:#}"), 1_000)))
}

/// So many at once; the others wait.
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Places {
    fn of(places: usize) -> Places {
        Places { free: Mutex::new(places), freed: Condvar::new() }
    }

    fn take(&self) -> PlaceTaken<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        PlaceTaken(self)
    }
}

struct PlaceTaken<'a>(&'a Places);

impl Drop for PlaceTaken<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
