//! One attack: how it is made, and whether the host kept its promise.

use bandstand_sandbox::{
    CallLimits, CallRequest, Class, Failure, Grants, Memory, Outcome, Plugin, Sandbox, Settings,
};
use bandstand_test_guests as guests;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A hostile plugin.
#[derive(Clone)]
pub struct Attack {
    /// As its file is called.
    pub name: &'static str,
    /// The component.
    pub component: Arc<[u8]>,
    /// The bounds of the attempt.
    pub limits: CallLimits,
    /// Its powers.
    pub grants: Grants,
    /// What it remembers.
    pub memory: Option<Arc<dyn Memory>>,
    /// The function that is called instead of an agent's `run`.
    pub function: Option<&'static str>,
    /// What the host owes.
    pub ends: Ends,
}

/// How an attack must end.
#[derive(Clone, Debug)]
pub enum Ends {
    /// Refused before it runs; the message says each of these.
    Refused(Vec<&'static str>),
    /// The attempt fails, and the message says each of these: limit, value and setting.
    Fails(Class, &'static str, Vec<&'static str>),
    /// It is only large: it loads and answers.
    Answers,
}

/// What an attack came to.
#[derive(Debug)]
pub enum Proven {
    /// Refused, with this message.
    Refused(String),
    /// Failed.
    Failed(Box<Failure>),
    /// Answered.
    Answered,
}

impl Attack {
    /// Loads it, or nothing if it was refused as it must be. Blocks.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn load(&self, sandbox: &Sandbox) -> Result<Result<Plugin, String>, String> {
        let name = self.name;
        let loaded = match self.function {
            None => sandbox.load(&self.component, &self.grants),
            Some(function) => sandbox.load_function(&self.component, &self.grants, function),
        };
        match (loaded, &self.ends) {
            (Ok(_), Ends::Refused(_)) => Err(format!("{name}: it was loaded")),
            (Ok(plugin), _) => Ok(Ok(plugin)),
            (Err(error), Ends::Refused(says)) => {
                let message = error.to_string();
                self.told(&message, says)?;
                Ok(Err(message))
            }
            (Err(error), _) => Err(format!("{name}: it was refused: {error}")),
        }
    }

    /// The attempt. It may end so much later than its limit says.
    ///
    /// # Errors
    /// The promise that was broken.
    pub async fn call(&self, sandbox: &Sandbox, plugin: &Plugin, late: Duration) -> Result<Proven, String> {
        let call = CallRequest {
            limits: self.limits.clone(),
            grants: Arc::new(self.grants.clone()),
            memory: self.memory.clone(),
            ..request("{\"a\":1}")
        };
        let begun = Instant::now();
        let Outcome { result, usage } = sandbox.call(plugin, call).await;
        let queued = Duration::from_millis(usage.queued_ms);
        let spent = begun.elapsed().saturating_sub(queued);
        let name = self.name;
        let failure = match (result, &self.ends) {
            (Ok(_), Ends::Answers) => return Ok(Proven::Answered),
            (Ok(reply), _) => return Err(format!("{name}: it answered {reply:.100?}")),
            (Err(failure), _) => failure,
        };
        let Ends::Fails(class, code, says) = &self.ends else {
            return Err(format!("{name}: it failed: {failure}"));
        };
        if (failure.class, failure.code.as_str()) != (*class, *code) {
            return Err(format!("{name}: {failure} is not {class}/{code}"));
        }
        self.told(&failure.message, says)?;
        let wall = Duration::from_millis(self.limits.wall_ms);
        if spent > wall + late {
            return Err(format!("{name}: it ended after {spent:?}, its limit is {wall:?}"));
        }
        if *class == Class::Timeout && spent < wall {
            return Err(format!("{name}: it ended after {spent:?}, before its limit of {wall:?}"));
        }
        if *code == "cpu" && usage.cpu_us < self.limits.cpu_ms * 1_000 {
            return Err(format!("{name}: it ended after {} us of processor time", usage.cpu_us));
        }
        // The call that is one too many is counted, too.
        if usage.host_call_bytes > self.limits.host_call_bytes_max + (1 << 10) {
            return Err(format!("{name}: {} bytes went through host calls", usage.host_call_bytes));
        }
        if usage.memory_bytes_max > self.limits.memory_bytes_max {
            return Err(format!("{name}: it held {} bytes", usage.memory_bytes_max));
        }
        let texts = [Some(&failure.code), failure.backtrace.as_ref(), failure.last_words.as_ref()];
        for text in texts.into_iter().flatten() {
            if let Some(character) = unsafe_text(text) {
                return Err(format!("{name}: {character:?} in {text:?}"));
            }
            if text.len() > 32 << 10 {
                return Err(format!("{name}: {} bytes are kept of it", text.len()));
            }
        }
        Ok(Proven::Failed(Box::new(failure)))
    }

    /// Whether a message says what it must, briefly and safely.
    fn told(&self, message: &str, says: &[&str]) -> Result<(), String> {
        let name = self.name;
        if let Some(missing) = says.iter().find(|part| !message.contains(**part)) {
            return Err(format!("{name}: {missing:?} is not in: {message}"));
        }
        if let Some(character) = unsafe_text(message) {
            return Err(format!("{name}: {character:?} in {message:?}"));
        }
        if message.len() > 8 << 10 {
            return Err(format!("{name}: its message has {} bytes", message.len()));
        }
        Ok(())
    }
}

/// The first character that a terminal obeys, or that turns text round.
#[must_use]
pub fn unsafe_text(text: &str) -> Option<char> {
    text.chars().find(|character| match character {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        character => character.is_control(),
    })
}

/// Makes one attack alone in a sandbox, beside a healthy call, and looks whether all is as before. Panics when not.
pub async fn prove(name: &str) -> Proven {
    let attack = crate::attack(name);
    let sandbox = sandbox(8);
    let plugin = match attack.load(&sandbox).unwrap_or_else(|broken| panic!("{broken}")) {
        Ok(plugin) => plugin,
        Err(message) => {
            healthy(&sandbox, 1).await.unwrap();
            return Proven::Refused(message);
        }
    };
    let late = Duration::from_secs(1);
    let (proven, beside) = both(attack.call(&sandbox, &plugin, late), healthy(&sandbox, 20)).await;
    beside.unwrap_or_else(|broken| panic!("{name}, beside it: {broken}"));
    let proven = proven.unwrap_or_else(|broken| panic!("{broken}"));
    healthy(&sandbox, 1).await.unwrap_or_else(|broken| panic!("{name}, after it: {broken}"));
    assert_eq!(sandbox.instances_in_use(), 0, "{name} holds an instance");
    assert_eq!(sandbox.memory_bytes_in_use(), 0, "{name} holds memory");
    proven
}

/// Two at once, without a runtime of our own.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|context| {
        if first.is_none()
            && let std::task::Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let std::task::Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => std::task::Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

/// So many ordinary calls, one after the other; each must answer.
///
/// # Errors
/// What went wrong.
pub async fn healthy(sandbox: &Sandbox, times: u32) -> Result<(), String> {
    let plugin = ordinary(sandbox);
    for number in 0..times {
        answers(sandbox, &plugin, number).await?;
    }
    Ok(())
}

/// An agent that behaves.
#[must_use]
pub fn ordinary(sandbox: &Sandbox) -> Plugin {
    sandbox.load(&guests::echo(), &Grants::default()).unwrap()
}

/// One call of [`ordinary`], which must answer.
///
/// # Errors
/// What went wrong.
pub async fn answers(sandbox: &Sandbox, plugin: &Plugin, number: u32) -> Result<(), String> {
    let input = format!("{{\"n\":{number}}}");
    let reply = sandbox.call(plugin, request(&input)).await.result.map_err(|failure| failure.to_string())?;
    if reply.output == input { Ok(()) } else { Err(format!("it answered {}", reply.output)) }
}

/// A sandbox of two threads with room for so many instances, and memory for all of them.
#[must_use]
pub fn sandbox(instances: usize) -> Sandbox {
    let settings = Settings {
        instances_max: instances,
        worker_threads: 2,
        memory_bytes_total_max: instances << 29,
        ..Settings::default()
    };
    Sandbox::new(settings).unwrap()
}

/// A call with this input.
#[must_use]
pub fn request(input: &str) -> CallRequest {
    CallRequest {
        run_id: "run-1".into(),
        workflow: "hostile".into(),
        node: "node@1".into(),
        visit: 1,
        attempt: 1,
        attempts_max: 1,
        idempotency_key: "run-1/node@1".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        seed: 7,
        input: input.into(),
        ..CallRequest::default()
    }
}
