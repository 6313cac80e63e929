//! From tree and document to text.

use serde_json::{Map, Value};

use super::TemplateError;
use super::functions::{self, Function, text_of, truth};
use super::go;
use super::parse::{Call, Node, Operand, Pipeline};

/// More than any list of a machine has; a nest of loops over its own output must end.
const STEPS_MAX: usize = 10_000_000;

/// What a part of a template leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Break,
    Continue,
}

struct Evaluation<'a> {
    text: &'a str,
    root: &'a Value,
    out: String,
    variables: Vec<(String, Value)>,
    steps: usize,
}

/// The text that a template makes of a document.
pub(super) fn render(text: &str, nodes: &[Node], root: &Value) -> Result<String, TemplateError> {
    let mut evaluation = Evaluation {
        text,
        root,
        out: String::new(),
        variables: vec![(String::new(), root.clone())],
        steps: 0,
    };
    evaluation.nodes(nodes, root)?;
    Ok(evaluation.out)
}

impl Evaluation<'_> {
    fn error(&self, at: usize, reason: impl Into<String>) -> TemplateError {
        TemplateError::at(self.text, at, reason)
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let mut flow = Flow::Go;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::Go {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let field = last_field(pipeline).filter(|_| value.is_null());
                    match field.and_then(go::nothing) {
                        Some(text) => self.out.push_str(text),
                        None => self.out.push_str(&text_of(&value)),
                    }
                }
            }
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let known = self.variables.len();
                let chosen = match truth(&self.pipeline(condition, dot)?) {
                    true => then,
                    false => otherwise,
                };
                let flow = self.nodes(chosen, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::With {
                value,
                then,
                otherwise,
            } => {
                let known = self.variables.len();
                let value = self.pipeline(value, dot)?;
                let flow = match truth(&value) {
                    true => self.nodes(then, &value)?,
                    false => self.nodes(otherwise, dot)?,
                };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range {
                value,
                each,
                otherwise,
            } => {
                let known = self.variables.len();
                let flow = self.range((value, each, otherwise), dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Go)
    }

    fn range(
        &mut self,
        (pipeline, each, otherwise): (&Pipeline, &[Node], &[Node]),
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        let items = items(value).map_err(|what| {
            self.error(
                pipeline.at,
                format!("`range` goes over lists and maps, not over {what}"),
            )
        })?;
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        let known = self.variables.len();
        for (key, item) in items {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(self.error(pipeline.at, "it goes round without an end"));
            }
            let values = match &pipeline.variables[..] {
                [] => Vec::new(),
                [one] => vec![(one, item.clone())],
                [first, second, ..] => vec![(first, key), (second, item.clone())],
            };
            for (name, value) in values {
                self.set(name, value, pipeline.declares);
            }
            let flow = self.nodes(each, &item)?;
            if pipeline.declares {
                self.variables.truncate(known);
            }
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Go)
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) {
        let known = self.variables.iter_mut().rev();
        let known = known.into_iter().find(|(known, _)| known == name);
        match known {
            Some((_, slot)) if !declares => *slot = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.call(command, dot, last)?);
        }
        Ok(last.unwrap_or_default())
    }

    /// `piped` comes after the arguments that are written.
    fn call(
        &mut self,
        call: &Call,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let Some(function) = call.function else {
            return match call.arguments.first() {
                Some(operand) => self.operand(operand, dot),
                None => Ok(Value::Null),
            };
        };
        // These two stop at the first argument that decides (Go 1.18).
        if matches!(function, Function::And | Function::Or) {
            return self.choose(function, call, dot, piped);
        }
        let mut arguments = Vec::new();
        for operand in &call.arguments {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        functions::apply(function, &arguments).map_err(|reason| self.error(call.at, reason))
    }

    fn choose(
        &mut self,
        function: Function,
        call: &Call,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let mut last = None;
        for operand in &call.arguments {
            let value = self.operand(operand, dot)?;
            let decides = truth(&value) == (function == Function::Or);
            last = Some(value);
            if decides {
                return Ok(last.unwrap_or_default());
            }
        }
        piped
            .or(last)
            .ok_or_else(|| self.error(call.at, "it needs an argument"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Constant(value) => Ok(value.clone()),
            Operand::Dot { at, path } => self.fields(dot, path, *at),
            Operand::Variable { at, name, path } => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known.map(|(_, value)| value.clone()).unwrap_or_default();
                self.fields(&value, path, *at)
            }
            Operand::Group { at, pipeline, path } => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(&value, path, *at)
            }
            Operand::Call(call) => self.call(call, dot, None),
        }
    }

    fn fields(&self, value: &Value, path: &[String], at: usize) -> Result<Value, TemplateError> {
        let mut found = value;
        for (depth, name) in path.iter().enumerate() {
            found = match found {
                Value::Object(map) => match go::member(map, name) {
                    Some(next) => next,
                    None if depth == 0 && found == self.root && go::nothing(name).is_none() => {
                        return Err(self.error(at, unknown(name, map)));
                    }
                    None => &Value::Null,
                },
                // Docker's words, which scripts know.
                Value::Null if depth > 0 => {
                    let before = &path[depth - 1];
                    let reason = format!("map has no entry for key \"{before}\", so no `{name}`");
                    return Err(self.error(at, reason));
                }
                Value::Null => &Value::Null,
                other => {
                    let what = functions::kind(other);
                    return Err(self.error(at, format!("{what} has no field `{name}`")));
                }
            };
        }
        Ok(found.clone())
    }
}

/// The name of the field that a pipeline is, where it is nothing else.
fn last_field(pipeline: &Pipeline) -> Option<&str> {
    let [call] = &pipeline.commands[..] else {
        return None;
    };
    match (call.function, &call.arguments[..]) {
        (
            None,
            [
                Operand::Dot { path, .. }
                | Operand::Variable { path, .. }
                | Operand::Group { path, .. },
            ],
        ) => path.last().map(String::as_str),
        _ => None,
    }
}

/// Keys and values, in Go's order: maps by their keys.
fn items(value: Value) -> Result<Vec<(Value, Value)>, &'static str> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => Ok(list
            .into_iter()
            .enumerate()
            .map(|(index, item)| (Value::from(index), item))
            .collect()),
        Value::Object(map) => {
            let mut items: Vec<(String, Value)> = map.into_iter().collect();
            items.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(items
                .into_iter()
                .map(|(key, value)| (Value::String(key), value))
                .collect())
        }
        other => Err(functions::kind(&other)),
    }
}

fn unknown(name: &str, map: &Map<String, Value>) -> String {
    let known: Vec<&str> = map.keys().map(String::as_str).collect();
    format!("there is no field `{name}`; there are {}", known.join(", "))
}
