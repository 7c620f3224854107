//! Replies that are kept for equal visits (`cache`): what makes two visits equal, which replies are kept, and how a kept
//! one ends a visit. Where they are kept, and looking for them, is not the engine's business: a kept reply comes as an
//! input, like any other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Run;
use super::advance::Leave;
use super::names::Context;
use super::state::Json;
use super::write::json_bytes;
use crate::event::{CachedFrom, Kept, Payload};
use crate::failure::Failure;
use crate::graph::{Agent, Cache, CacheScope, Kind};
use crate::id::Id;
use crate::input::{Reply, ReplyNext};
use crate::mistake::{self, Mistake};
use crate::path::{CommandId, Path};

/// The beginning of what is digested; another way to make keys begins otherwise, so that old ones are never found.
const KEY_VERSION: &str = "bandstand-cache-1";

/// What `node.succeeded` says about keeping.
#[derive(Debug, Default)]
pub(super) struct CacheNote {
    pub(super) kept: Option<Kept>,
    pub(super) cached_from: Option<CachedFrom>,
}

impl Run {
    /// The value of a node's `cache.key`.
    pub(super) fn cache_key_value(
        &self,
        agent: &Agent,
        context: &Context<'_>,
    ) -> Result<Option<Json>, Failure> {
        let Some(key) = agent.cache.as_ref().and_then(|cache| cache.key.as_ref()) else { return Ok(None) };
        let value = context.expression(key)?;
        self.check_payload("the value of `cache.key`", json_bytes(&value))?;
        Ok(Some(Arc::new(value)))
    }

    /// Under which key the reply of an equal visit is kept, in hexadecimal: look there before making the call. `None`: the
    /// command is not owed, or its node keeps nothing.
    ///
    /// It follows from what this run pins and records (plugin, evaluated input and `key`, who shares it), so a fork with
    /// other plugins finds nothing of theirs.
    pub fn cache_key(&self, id: &CommandId) -> Option<String> {
        self.index.commands.get(id)?;
        self.key_at(&id.path).map(|(key, _)| key)
    }

    fn key_at(&self, p: &Path) -> Option<(String, &Cache)> {
        let Kind::Agent(agent) = &self.graph.node(p)?.kind else { return None };
        let (cache, visit) = (agent.cache.as_ref()?, self.visit(p)?);
        // Entered by another graph, whose node had no `key`.
        if cache.key.is_some() != visit.cache_key.is_some() {
            return None;
        }
        let started = &self.state.started;
        let (scope, of) = match (cache.scope, &started.thread_id) {
            (CacheScope::Workflow, _) => ("workflow", ""),
            (CacheScope::Thread, Some(thread)) => ("thread", thread.as_str()),
            (CacheScope::Thread, None) | (CacheScope::Run, _) => ("run", started.run_id.as_str()),
        };
        let plugin = self.called(&agent.plugin, &started.plugins.get(&agent.plugin)?.digest);
        let forgets = mistake::is(Mistake::CacheWithoutInput);
        let input = if forgets { String::new() } else { visit.input.as_ref()?.to_string() };
        let value = visit.cache_key.as_ref().map(|value| value.to_string());
        let tools = self.tool_digests(&agent.plugin);
        let tools = tools.iter().map(|part| &**part);
        let mut hasher = blake3::Hasher::new();
        let parts = [KEY_VERSION, &self.graph.name, scope, of, &plugin, &input];
        // No JSON text is empty, so no value is like none.
        let parts = parts.into_iter().chain([value.as_deref().unwrap_or("")]);
        for part in parts.chain(tools) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Some((hasher.finalize().to_hex().to_string(), cache))
    }

    /// What is called: a component, or one function of it.
    fn called<'a>(&self, plugin: &Id, digest: &'a str) -> Cow<'a, str> {
        match self.graph.plugins.get(plugin).and_then(|plugin| plugin.function.as_ref()) {
            None => Cow::Borrowed(digest),
            // No digest holds it, so a function is never taken for a component.
            Some(function) => Cow::Owned(format!("{digest}#{function}")),
        }
    }

    /// What a plugin may call as tools, and what these may, each once: their replies are in its own.
    fn tool_digests(&self, plugin: &Id) -> Vec<Cow<'_, str>> {
        let granted =
            |plugin: &Id| self.graph.plugins.get(plugin).map(|plugin| plugin.grants.tools.as_slice());
        let mut open: Vec<&Id> = granted(plugin).unwrap_or_default().iter().collect();
        let mut found: BTreeMap<&Id, Cow<'_, str>> = BTreeMap::new();
        while let Some(tool) = open.pop() {
            let Some(pin) = self.state.started.plugins.get(tool) else { continue };
            if found.insert(tool, self.called(tool, &pin.digest)).is_none() {
                open.extend(granted(tool).unwrap_or_default());
            }
        }
        found.into_iter().flat_map(|(tool, digest)| [Cow::Borrowed(tool.as_str()), digest]).collect()
    }

    /// How the reply of a visit that is about to succeed is kept. One that jumps or asks people decides for its own run
    /// only.
    pub(super) fn kept(&self, p: &Path, next: &ReplyNext) -> CacheNote {
        if !is_plain(next) {
            return CacheNote::default();
        }
        let kept = self.key_at(p).map(|(key, cache)| Kept { key, until: self.clock.plus_ms(cache.for_ms) });
        CacheNote { kept, cached_from: None }
    }

    /// An equal visit's reply is kept. Nothing happens unless this visit ends well by it: then no attempt is made.
    /// `false`: the attempt is not owed.
    pub(super) fn attempt_cached(&mut self, id: &CommandId, reply: Reply, from: CachedFrom) -> bool {
        if !self.index.commands.contains_key(id) {
            return false;
        }
        if self.cache_key(id).is_none() || !is_plain(&reply.next) || self.check_reply(&reply).is_err() {
            return true;
        }
        let Reply { output, confidence, next } = reply;
        let note = CacheNote { kept: None, cached_from: Some(from) };
        let payload = Payload::Value(output.clone());
        // What fails here is the business of a reply of its own.
        let _ = self.try_leave(&id.path, payload, output, confidence, &Leave::ByReply(&next), note);
        true
    }
}

fn is_plain(next: &ReplyNext) -> bool {
    match next {
        ReplyNext::Edges | ReplyNext::Choose(_) => true,
        ReplyNext::Goto(_) | ReplyNext::Review(_) => false,
    }
}
