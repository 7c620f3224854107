//! Plugins: any bytes are refused or inspected; what can be run is compiled and called once, within small limits.

use std::sync::OnceLock;

use bandstand_sandbox::{CallLimits, CallRequest, Grants, Sandbox, Settings, inspect};

/// A component that is larger takes longer to compile than to find anything with.
const BYTES_MAX: usize = 64 << 10;

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let settings = Settings { instances_max: 4, worker_threads: 1, ..Settings::default() };
        Sandbox::new(settings).unwrap_or_else(|error| panic!("no sandbox: {error}"))
    })
}

pub(crate) fn run(bytes: &[u8]) {
    let Ok(inspection) = inspect(bytes) else { return };
    let _ = (inspection.capabilities(), inspection.runnable());
    if bytes.len() > BYTES_MAX {
        return;
    }
    let Ok(plugin) = sandbox().load(bytes, &Grants::default()) else { return };
    let limits = CallLimits { wall_ms: 200, cpu_ms: 50, memory_bytes_max: 4 << 20, ..CallLimits::default() };
    let request = CallRequest { input: "{}".to_owned(), limits, ..CallRequest::default() };
    let (done, ended) = std::sync::mpsc::channel();
    sandbox().start(&plugin, move || request, move |outcome| drop(done.send(outcome)));
    let outcome = ended.recv().unwrap_or_else(|_| panic!("an attempt without an end"));
    if let Err(failure) = outcome.result {
        assert_ne!(failure.class, bandstand_sandbox::Class::Host, "{failure:?}");
    }
}
