//! Asks a policy any function in JSON, for `upright policy eval` and tests.
//!
//! Names are in `snake_case` (`"half_open"`). Records are objects. Cases are strings, those with payload objects of one
//! key. An absent option is `null` or left out.

use super::engine::{Runtime, runtime};
use super::error::PolicyError;
use super::inspect::{INTERFACES, interface_name};
use super::limits::{self, Limits};
use super::policy::{Policy, one_line};
use serde_json::{Map, Number, Value};
use upright_core::policy::Function;
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Instance, Type, Val};

/// Why a question failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The function does not exist.
    #[error("no function {name:?}; expected one of: {known}")]
    UnknownFunction {
        /// Name asked for.
        name: String,
        /// Known functions.
        known: String,
    },
    /// An argument has the wrong shape.
    #[error("{at}: {found}; expected {expected}")]
    Argument {
        /// Path in the arguments.
        at: String,
        /// Value found.
        found: String,
        /// Shape expected.
        expected: String,
    },
    /// The policy failed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// JSON shapes of a function.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FunctionShape {
    /// Name as `interface.function`.
    pub function: String,
    /// Shape of each argument by name.
    pub arguments: Map<String, Value>,
    /// Shape of the answer.
    pub answer: Value,
}

/// Asks a policy in JSON, on its own instance.
pub struct Evaluator {
    policy: Policy,
    /// `None` after a trap, which poisons the store.
    live: Option<(Store<Limits>, Instance)>,
}

impl Evaluator {
    /// Creates an evaluator.
    pub fn new(policy: Policy) -> Self {
        Self { policy, live: None }
    }

    /// All functions with their shapes.
    pub fn functions(&self) -> Vec<FunctionShape> {
        let Ok(runtime) = runtime() else { return Vec::new() };
        let surface = self.policy.component().component_type();
        let mut shapes = Vec::new();
        for (interface, functions) in INTERFACES {
            let Some(item) = surface.get_export(&runtime.engine, &self.interface_name(interface)) else { continue };
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            for function in functions {
                let Some(item) = instance.get_export(&runtime.engine, function) else { continue };
                let ComponentItem::ComponentFunc(signature) = item.ty else { continue };
                shapes.push(FunctionShape {
                    function: format!("{interface}.{}", snake(function)),
                    arguments: signature.params().map(|(name, ty)| (snake(name), shape(&ty))).collect(),
                    answer: signature.results().next().map_or(Value::Null, |ty| shape(&ty)),
                });
            }
        }
        shapes
    }

    fn interface_name(&self, interface: &str) -> String {
        interface_name(interface, self.policy.contract_version())
    }

    /// Asks `interface.function` with an object of named arguments.
    ///
    /// # Errors
    /// [`EvalError`]; the evaluator remains usable.
    pub fn eval(&mut self, function: &str, arguments: &Value) -> Result<Value, EvalError> {
        let (interface, name) = find(function)?;
        let wasi = self.policy.is_allowed_wasi();
        super::link::apart(wasi, || self.eval_here(function, interface, name, arguments))?
    }

    fn eval_here(&mut self, function: &str, interface: &'static str, name: &'static str, arguments: &Value) -> Result<Value, EvalError> {
        limits::twice(|| match self.attempt(function, interface, name, arguments) {
            Err(EvalError::Policy(error)) => Err(error),
            done => Ok(done),
        })?
    }

    fn attempt(&mut self, function: &str, interface: &'static str, name: &'static str, arguments: &Value) -> Result<Value, EvalError> {
        let runtime = runtime().map_err(|detail| PolicyError::Compile { detail })?;
        let exported = self.interface_name(interface);
        if self.live.is_none() {
            self.live = Some(self.instantiate(runtime)?);
        }
        let Some((store, instance)) = &mut self.live else { return Err(missing(function).into()) };
        let interface_index = instance.get_export_index(&mut *store, None, &exported);
        let index = interface_index.and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), name));
        let function_handle = index.and_then(|index| instance.get_func(&mut *store, index)).ok_or_else(|| missing(function))?;
        let signature: ComponentFunc = function_handle.ty(&*store);
        let parameters = read_arguments(&signature, arguments)?;
        let mut results = vec![Val::Bool(false); signature.results().len()];
        let _running = runtime.running();
        limits::begin(store);
        if let Err(error) = function_handle.call(&mut *store, &parameters, &mut results) {
            let failure = limits::failure(asked(&name_of(interface, name)), store, &error);
            self.live = None;
            return Err(failure.into());
        }
        Ok(results.first().map_or(Value::Null, write))
    }

    fn instantiate(&self, runtime: &Runtime) -> Result<(Store<Limits>, Instance), PolicyError> {
        let mut store = limits::store(runtime, self.policy.allowance());
        let _running = runtime.running();
        limits::begin_start(&mut store);
        let linker = super::link::linker(&runtime.engine, self.policy.is_allowed_wasi())
            .map_err(|error| PolicyError::Compile { detail: one_line(&error) })?;
        let instance = linker.instantiate(&mut store, self.policy.component()).map_err(|error| limits::start_failure(&store, &error))?;
        Ok((store, instance))
    }
}

fn find(function: &str) -> Result<(&'static str, &'static str), EvalError> {
    let all = || INTERFACES.iter().flat_map(|(interface, functions)| functions.iter().map(|function| (*interface, *function)));
    all().find(|(interface, name)| snake(function) == name_of(interface, name)).ok_or_else(|| EvalError::UnknownFunction {
        name: function.to_owned(),
        known: all().map(|(interface, name)| name_of(interface, name)).collect::<Vec<_>>().join(", "),
    })
}

fn name_of(interface: &str, function: &str) -> String {
    format!("{interface}.{}", snake(function))
}

fn missing(function: &str) -> PolicyError {
    PolicyError::MissingExport { missing: function.to_owned() }
}

fn asked(name: &str) -> &'static str {
    Function::ALL.iter().map(|function| function.name()).find(|known| *known == name).unwrap_or("a function of the contract")
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

fn shape(ty: &Type) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    match ty {
        Type::Bool => text("boolean"),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => text("integer, 0 or more"),
        Type::S8 | Type::S16 | Type::S32 | Type::S64 => text("integer"),
        Type::Float32 | Type::Float64 => text("number"),
        Type::Char | Type::String => text("string"),
        Type::List(list) => Value::Array(vec![shape(&list.ty())]),
        Type::Record(record) => Value::Object(record.fields().map(|field| (snake(field.name), shape(&field.ty))).collect()),
        Type::Option(option) => serde_json::json!({ "optional": shape(&option.ty()) }),
        Type::Enum(cases) => text(&cases.names().map(snake).collect::<Vec<_>>().join(" | ")),
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| match case.ty {
                Some(ty) => serde_json::json!({ snake(case.name): shape(&ty) }),
                None => text(&snake(case.name)),
            });
            serde_json::json!({ "one_of": cases.collect::<Vec<_>>() })
        }
        other => text(&format!("{other:?}")),
    }
}

fn read_arguments(signature: &ComponentFunc, arguments: &Value) -> Result<Vec<Val>, EvalError> {
    let fields: Vec<(String, Type)> = signature.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
    let fields: Vec<(&str, Type)> = fields.iter().map(|(name, ty)| (name.as_str(), ty.clone())).collect();
    Ok(read_fields(&fields, arguments, "arguments")?.into_iter().map(|(_, value)| value).collect())
}

/// Options and lists may be missing; unknown keys are refused.
fn read_fields(fields: &[(&str, Type)], value: &Value, at: &str) -> Result<Vec<(String, Val)>, EvalError> {
    let expected = || format!("an object with {}", fields.iter().map(|(name, _)| snake(name)).collect::<Vec<_>>().join(", "));
    let object = value.as_object().ok_or_else(|| wrong(at, value, &expected()))?;
    if let Some(unknown) = object.keys().find(|key| fields.iter().all(|(name, _)| snake(name) != **key)) {
        return Err(EvalError::Argument { at: format!("{at}.{unknown}"), found: "an unknown key".into(), expected: expected() });
    }
    let read_field = |(name, ty): &(&str, Type)| {
        let at = format!("{at}.{}", snake(name));
        let value = match object.get(&snake(name)) {
            Some(value) => read(ty, value, &at)?,
            None if matches!(ty, Type::Option(_)) => Val::Option(None),
            None if matches!(ty, Type::List(_)) => Val::List(Vec::new()),
            None => return Err(EvalError::Argument { at, found: "missing".into(), expected: in_words(ty) }),
        };
        Ok(((*name).to_owned(), value))
    };
    fields.iter().map(read_field).collect()
}

fn wrong(at: &str, found: &Value, expected: &str) -> EvalError {
    let mut found = found.to_string();
    if found.len() > 80 {
        let end = (0..=77).rev().find(|end| found.is_char_boundary(*end)).unwrap_or(0);
        found.truncate(end);
        found.push('…');
    }
    EvalError::Argument { at: at.to_owned(), found, expected: expected.to_owned() }
}

fn in_words(ty: &Type) -> String {
    match shape(ty) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn read(ty: &Type, value: &Value, at: &str) -> Result<Val, EvalError> {
    let not = || wrong(at, value, &in_words(ty));
    let integer = |min: i64, max: u64| {
        let fits = |number: &Number| match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number <= max,
            (None, Some(number)) => number >= min,
            (None, None) => false,
        };
        value.as_number().filter(|number| fits(number)).cloned().ok_or_else(not)
    };
    let unsigned = |max: u64| integer(0, max).map(|number| number.as_u64().unwrap_or_default());
    let signed = |min: i64, max: i64| integer(min, max.unsigned_abs()).map(|number| number.as_i64().unwrap_or_default());
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(not)?),
        // The range was checked, so casts lose nothing.
        Type::U8 => Val::U8(unsigned(u8::MAX.into())? as u8),
        Type::U16 => Val::U16(unsigned(u16::MAX.into())? as u16),
        Type::U32 => Val::U32(unsigned(u32::MAX.into())? as u32),
        Type::U64 => Val::U64(unsigned(u64::MAX)?),
        Type::S32 => Val::S32(signed(i32::MIN.into(), i32::MAX.into())? as i32),
        Type::S64 => Val::S64(signed(i64::MIN, i64::MAX)?),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(not)?),
        Type::String => Val::String(value.as_str().ok_or_else(not)?.to_owned()),
        Type::List(list) => {
            let items = value.as_array().ok_or_else(not)?.iter().enumerate();
            Val::List(items.map(|(index, item)| read(&list.ty(), item, &format!("{at}[{index}]"))).collect::<Result<_, _>>()?)
        }
        Type::Record(record) => {
            let fields: Vec<_> = record.fields().map(|field| (field.name, field.ty)).collect();
            Val::Record(read_fields(&fields, value, at)?)
        }
        Type::Option(_) if value.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(read(&option.ty(), value, at)?))),
        Type::Enum(cases) => {
            let name = value.as_str().ok_or_else(not)?;
            Val::Enum(cases.names().find(|case| snake(case) == name).ok_or_else(not)?.to_owned())
        }
        Type::Variant(variant) => {
            let (name, payload) = match value {
                Value::String(name) => (name, None),
                Value::Object(object) if object.len() == 1 => {
                    object.iter().next().map(|(name, payload)| (name, Some(payload))).ok_or_else(not)?
                }
                _ => return Err(not()),
            };
            let case = variant.cases().find(|case| snake(case.name) == *name).ok_or_else(not)?;
            let payload = match (case.ty, payload) {
                (Some(ty), Some(payload)) => Some(Box::new(read(&ty, payload, &format!("{at}.{name}"))?)),
                (None, None) => None,
                _ => return Err(not()),
            };
            Val::Variant(case.name.to_owned(), payload)
        }
        _ => return Err(not()),
    })
}

fn write(value: &Val) -> Value {
    match value {
        Val::Bool(value) => Value::Bool(*value),
        Val::U8(value) => (*value).into(),
        Val::U16(value) => (*value).into(),
        Val::U32(value) => (*value).into(),
        Val::U64(value) => (*value).into(),
        Val::S32(value) => (*value).into(),
        Val::S64(value) => (*value).into(),
        // JSON has no non-finite numbers; a string shows them.
        Val::Float64(value) => Number::from_f64(*value).map_or_else(|| Value::String(value.to_string()), Value::Number),
        Val::String(value) => Value::String(value.clone()),
        Val::List(items) => Value::Array(items.iter().map(write).collect()),
        Val::Record(fields) => Value::Object(fields.iter().map(|(name, value)| (snake(name), write(value))).collect()),
        Val::Option(value) => value.as_ref().map_or(Value::Null, |value| write(value)),
        Val::Enum(case) | Val::Variant(case, None) => Value::String(snake(case)),
        Val::Variant(case, Some(payload)) => Value::Object(Map::from_iter([(snake(case), write(payload))])),
        other => Value::String(format!("{other:?}")),
    }
}
