//! A function of any component as something that an attempt calls: its arguments come from the input by name, its result
//! becomes the output.

use crate::failure::{Class, Failure};
use crate::guest::Guest;
use crate::load_error::LoadError;
use crate::plugin::Loaded;
use crate::reply::{Next, Reply};
use crate::sanitise::sanitise;
use crate::settings::CallLimits;
use crate::values::{self, Json, NoJson, Unfit, VALUE_BYTES};
use bandstand_signature::{Function, Kind, RESULT, Sketch, Type};
use serde_json::{Value, json};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, Val};

/// What a function failed with, as its `result` says.
const RETURNED_ERROR: &str = "returned-error";
/// The input does not fit its parameters.
const BAD_ARGUMENTS: &str = "bad-arguments";
/// The bound for what people read of an error that was returned. Bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// One problem of arguments, and its place. Bytes each.
const PROBLEM_BYTES_MAX: usize = 500;
/// Problems of arguments in one message.
const PROBLEMS_SHOWN_MAX: usize = 5;

/// A function that can be called.
pub(crate) struct Callable {
    pub(crate) function: Function,
    /// Whether what it gives may be of any size, so that the host sets room aside for it.
    pub(crate) gives_any_size: bool,
    index: ComponentExportIndex,
}

impl Callable {
    /// The function of that name.
    pub(crate) fn new(loaded: &Loaded, name: &str) -> Result<Callable, LoadError> {
        let function = loaded.inspection.runnable_function(name)?.clone();
        let component = loaded.linked.component();
        let interface = match &function.interface {
            None => Some(None),
            Some(interface) => component.get_export_index(None, interface.as_str()).map(Some),
        };
        let index = interface
            .and_then(|interface| component.get_export_index(interface.as_ref(), function.name.as_str()))
            .ok_or_else(|| LoadError::Incompatible {
                message: format!("its code has no `{}`, though its type has", function.full_name()),
            })?;
        let gives_any_size = function.result.as_ref().is_some_and(Type::is_unbounded);
        Ok(Callable { function, gives_any_size, index })
    }

    /// Its arguments, from an object by name. As values they take so many bytes of the host at most.
    pub(crate) fn arguments(&self, input: &str, bytes_max: usize) -> Result<Vec<Val>, Failure> {
        let name = self.function.full_name();
        let wrong = |message: String| Failure {
            recoverable: false,
            ..Failure::new(Class::Agent, BAD_ARGUMENTS, message)
        };
        let input: Value =
            serde_json::from_str(input).map_err(|error| wrong(format!("the input is not JSON: {error}")))?;
        let mut bytes_left = bytes_max;
        let fits = match &input {
            Value::Object(members) => {
                let known = |key: &String| self.function.params.iter().any(|param| param.name == *key);
                let all = members.keys().all(known);
                let each = self.function.params.iter().map(|param| {
                    match (members.get(&param.name), &param.ty.kind) {
                        (Some(value), _) => values::from_json(&param.ty, value, &mut bytes_left),
                        (None, Kind::Option(_)) => Ok(Val::Option(None)),
                        (None, _) => Err(Unfit::Type),
                    }
                });
                if all { each.collect() } else { Err(Unfit::Type) }
            }
            _ => Err(Unfit::Type),
        };
        fits.map_err(|unfit: Unfit| match unfit {
            Unfit::TooLarge => {
                let message = format!(
                    "the arguments of `{name}` take more than {bytes_max} bytes of the host, where each value counts \
                     {VALUE_BYTES} bytes besides its text, which is fixed"
                );
                Failure { recoverable: false, ..Failure::new(Class::Limit, "host-calls", message) }
            }
            Unfit::Type => {
                let problems = self.function.problems(&Sketch::from(&input));
                let shown: Vec<String> =
                    problems.iter().take(PROBLEMS_SHOWN_MAX).map(ToString::to_string).collect();
                let shown = sanitise(&shown.join("; "), MESSAGE_BYTES_MAX);
                // Both may hold names of the component and of the input, as long as these are.
                let each = problems.iter().map(|problem| {
                    let [at, message] =
                        [&problem.pointer, &problem.message].map(|text| sanitise(text, PROBLEM_BYTES_MAX));
                    json!({ "at": at, "problem": message })
                });
                Failure {
                    data: Some(json!({ "problems": each.collect::<Vec<_>>() }).to_string()),
                    ..wrong(format!("the input does not fit `{name}`: {shown}"))
                }
            }
        })
    }

    /// Calls it; what it gives, if anything.
    pub(crate) async fn call(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        arguments: Vec<Val>,
    ) -> wasmtime::Result<Option<Val>> {
        let Some(function) = instance.get_func(&mut *store, self.index) else {
            wasmtime::bail!("the instance has no such function");
        };
        // What stands in it is overwritten.
        let mut results = vec![Val::Bool(false); usize::from(self.function.result.is_some())];
        function.call_async(&mut *store, &arguments, &mut results).await?;
        Ok(results.pop())
    }

    /// What came of it: an output, or the error that it returned.
    pub(crate) fn reply(&self, result: Option<Val>, limits: &CallLimits) -> Result<Reply, Failure> {
        let ty = self.function.result.as_ref();
        let output = match (ty.map(|ty| &ty.kind), result) {
            (Some(Kind::Result { err, .. }), Some(Val::Result(Err(held)))) => {
                return Err(self.returned(err.as_deref(), held.as_deref(), limits));
            }
            (Some(Kind::Result { .. }), Some(Val::Result(Ok(held)))) => held.map(|held| *held),
            (_, result) => result,
        };
        let mut json = Json::new(limits.output_bytes_max);
        let written = match (self.function.output(), &output) {
            (None, None) => json.push("{}"),
            (Some(ty), Some(value)) if matches!(ty.kind, Kind::Record(_)) => json.value(ty, value),
            (Some(ty), Some(value)) => {
                json.push("{").and_then(|()| json.member(RESULT, ty, value)).and_then(|()| json.push("}"))
            }
            _ => Err(NoJson::OtherType),
        };
        match written {
            Ok(()) => Ok(Reply { output: json.into_text(), confidence: None, next: Next::Edges }),
            Err(problem) => Err(self.no_json("result", problem, limits)),
        }
    }

    /// The error that it returned. Never refused: an error that cannot be told in full is still that error.
    fn returned(&self, ty: Option<&Type>, held: Option<&Val>, limits: &CallLimits) -> Failure {
        let name = self.function.full_name();
        let mut data = None;
        let mut message = format!("`{name}` returned an error");
        if let (Some(ty), Some(value)) = (ty, held) {
            let mut json = Json::new(limits.output_bytes_max);
            match (json.value(ty, value), value) {
                (Ok(()), value) => {
                    let text = json.into_text();
                    message = match value {
                        Val::String(said) => format!("{message}: {said}"),
                        _ => format!("{message}: {text}"),
                    };
                    data = Some(text);
                }
                (Err(problem), _) => {
                    let why = self.no_json("error", problem, limits).message;
                    message = format!("{message} (its data was left out: {why})");
                }
            }
        }
        Failure {
            recoverable: false,
            data,
            ..Failure::new(Class::Agent, RETURNED_ERROR, sanitise(&message, MESSAGE_BYTES_MAX))
        }
    }

    fn no_json(&self, what: &str, problem: NoJson, limits: &CallLimits) -> Failure {
        let name = self.function.full_name();
        let (code, message) = match problem {
            NoJson::TooLarge => (
                "too-large",
                format!(
                    "the {what} of `{name}` has more than the limit of {} bytes as JSON (setting limits.output)",
                    limits.output_bytes_max
                ),
            ),
            NoJson::NotFinite { mut steps, number } => {
                steps.reverse();
                let at: String = steps.iter().map(|step| format!("/{step}")).collect();
                ("bad-reply", format!("the {what} of `{name}` has no JSON: {at} is {number}"))
            }
            NoJson::OtherType => {
                ("bad-reply", format!("the {what} of `{name}` is of another type than the component says"))
            }
        };
        Failure::new(Class::InvalidOutput, code, message)
    }
}
