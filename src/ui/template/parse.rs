//! From pieces to a tree.

use super::TemplateError;
use super::functions::{self, Function};
use super::lex::{Kind, Token, tokens};

/// Templates are written by hand: whoever nests deeper wants to break something.
const NESTING_MAX: usize = 100;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If {
        condition: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        value: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        value: Pipeline,
        each: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
}

/// `$a, $b := first | second`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Variables that take the value.
    pub(super) variables: Vec<String>,
    /// They are new ones (`:=`).
    pub(super) declares: bool,
    pub(super) commands: Vec<Call>,
}

/// A value or a call in a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) at: usize,
    pub(super) function: Option<Function>,
    /// The arguments; exactly one without a function.
    pub(super) arguments: Vec<Operand>,
}

/// Something that has a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// `.`, and fields of it.
    Dot {
        at: usize,
        path: Vec<String>,
    },
    /// `$name`, and fields of it.
    Variable {
        at: usize,
        name: String,
        path: Vec<String>,
    },
    Constant(serde_json::Value),
    /// `( … )`, and fields of it.
    Group {
        at: usize,
        pipeline: Pipeline,
        path: Vec<String>,
    },
    /// A function without arguments.
    Call(Call),
}

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        scopes: vec![vec![String::new()]],
        loops: 0,
    };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(nodes),
        Some((at, word)) => Err(parser.error(at, format!("`{word}` has nothing to belong to"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// Names of variables, the innermost block last.
    scopes: Vec<Vec<String>>,
    loops: usize,
}

/// A keyword that ends a block, and where.
type End = Option<(usize, &'static str)>;

impl Parser<'_> {
    fn error(&self, at: usize, reason: impl Into<String>) -> TemplateError {
        TemplateError::at(self.text, at, reason)
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn at(&self) -> usize {
        let token = self.tokens.get(self.next);
        token.map_or(self.text.len(), |token| token.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Kind::Word(found)) if found == word)
    }

    fn deeper(&mut self, at: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        match self.depth > NESTING_MAX {
            true => Err(self.error(at, "it is nested too deeply")),
            false => Ok(()),
        }
    }

    /// Everything up to `end`, `else` or the end of the text.
    fn nodes(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            if let Kind::Text(text) = token.kind {
                nodes.push(Node::Text(text));
                continue;
            }
            let Some(Kind::Word(word)) = self.peek().cloned() else {
                nodes.push(self.print(token.at)?);
                continue;
            };
            let at = self.at();
            match word.as_str() {
                "end" => {
                    self.next += 1;
                    self.close()?;
                    return Ok((nodes, Some((at, "end"))));
                }
                // What follows says which kind of `else`: `if` takes a chain.
                "else" => {
                    self.next += 1;
                    return Ok((nodes, Some((at, "else"))));
                }
                "if" | "with" | "range" => {
                    self.next += 1;
                    nodes.push(self.block(at, &word)?);
                }
                "break" | "continue" => {
                    self.next += 1;
                    self.close()?;
                    if self.loops == 0 {
                        return Err(self.error(at, format!("`{word}` is outside of `range`")));
                    }
                    nodes.push(match word.as_str() {
                        "break" => Node::Break,
                        _ => Node::Continue,
                    });
                }
                "define" | "template" | "block" => {
                    return Err(self.error(at, format!("`{word}` has no use in a format")));
                }
                _ => nodes.push(self.print(token.at)?),
            }
        }
        Ok((nodes, None))
    }

    fn print(&mut self, open: usize) -> Result<Node, TemplateError> {
        if self.peek() == Some(&Kind::Close) {
            return Err(self.error(open, "there is nothing between `{{` and `}}`"));
        }
        let pipeline = self.pipeline(1)?;
        self.close()?;
        Ok(Node::Print(pipeline))
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        let at = self.at();
        match self.take().map(|token| token.kind) {
            Some(Kind::Close) => Ok(()),
            _ => Err(self.error(at, "`}}` was expected here")),
        }
    }

    fn block(&mut self, at: usize, word: &str) -> Result<Node, TemplateError> {
        self.deeper(at)?;
        self.scopes.push(Vec::new());
        let value = self.pipeline(if word == "range" { 2 } else { 1 })?;
        self.close()?;
        self.loops += usize::from(word == "range");
        let (then, end) = self.inner()?;
        self.loops -= usize::from(word == "range");
        let otherwise = match end {
            Some((_, "end")) => Vec::new(),
            Some(_) => self.otherwise(word)?,
            None => return Err(self.error(at, format!("`{word}` has no `end`"))),
        };
        self.scopes.pop();
        self.depth -= 1;
        Ok(match word {
            "if" => Node::If {
                condition: value,
                then,
                otherwise,
            },
            "with" => Node::With {
                value,
                then,
                otherwise,
            },
            _ => Node::Range {
                value,
                each: then,
                otherwise,
            },
        })
    }

    fn inner(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        self.scopes.push(Vec::new());
        let found = self.nodes();
        self.scopes.pop();
        found
    }

    /// Behind the word `else`: nothing, or the same kind of block again, which shares the `end`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>, TemplateError> {
        let at = self.at();
        if word != "range" && self.is_word(word) {
            self.next += 1;
            return Ok(vec![self.block(at, word)?]);
        }
        self.close()?;
        match self.inner()? {
            (nodes, Some((_, "end"))) => Ok(nodes),
            (_, Some((at, _))) => Err(self.error(at, "there is an `else` already")),
            (_, None) => Err(self.error(at, format!("`{word}` has no `end`"))),
        }
    }

    fn pipeline(&mut self, most: usize) -> Result<Pipeline, TemplateError> {
        let at = self.at();
        let (variables, declares) = self.variables(most)?;
        let mut commands = vec![self.command()?];
        while self.peek() == Some(&Kind::Pipe) {
            self.next += 1;
            let place = self.at();
            let command = self.command()?;
            if command.function.is_none() {
                return Err(self.error(place, "only a function can take what comes down a pipe"));
            }
            commands.push(command);
        }
        // A variable is known behind its own value.
        if declares && let Some(scope) = self.scopes.last_mut() {
            scope.extend(variables.iter().cloned());
        }
        Ok(Pipeline {
            at,
            variables,
            declares,
            commands,
        })
    }

    /// `$a :=`, `$a =`, `$a, $b :=`; else nothing is taken.
    fn variables(&mut self, most: usize) -> Result<(Vec<String>, bool), TemplateError> {
        let start = self.next;
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek().cloned() {
            let at = self.at();
            self.next += 1;
            names.push(name.clone());
            match self.peek() {
                Some(Kind::Comma) if names.len() < most => self.next += 1,
                Some(Kind::Declare) => {
                    self.next += 1;
                    return Ok((names, true));
                }
                Some(Kind::Assign) => {
                    self.next += 1;
                    for name in &names {
                        self.known(at, name)?;
                    }
                    return Ok((names, false));
                }
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn known(&self, at: usize, name: &str) -> Result<(), TemplateError> {
        let found = self.scopes.iter().flatten().any(|known| known == name);
        match found {
            true => Ok(()),
            false => Err(self.error(at, format!("there is no variable `${name}`"))),
        }
    }

    fn command(&mut self) -> Result<Call, TemplateError> {
        let at = self.at();
        let function = match self.peek() {
            Some(Kind::Word(word)) if !is_constant(word) => Some(self.function()?),
            _ => None,
        };
        let mut arguments = Vec::new();
        while let Some(operand) = self.operand()? {
            arguments.push(operand);
        }
        match (function, arguments.len()) {
            (Some(_), _) | (None, 1) => Ok(Call {
                at,
                function,
                arguments,
            }),
            // A method of Docker's rows: `.Label "name"`.
            (None, 2) if is_label(&arguments) => Ok(Call {
                at,
                function: Some(Function::Index),
                arguments,
            }),
            (None, 0) => Err(self.error(at, "a value was expected here")),
            (None, _) => Err(self.error(at, "this is no function, so it takes no arguments")),
        }
    }

    fn function(&mut self) -> Result<Function, TemplateError> {
        let at = self.at();
        let Some(Kind::Word(word)) = self.take().map(|token| token.kind) else {
            return Err(self.error(at, "a function was expected here"));
        };
        functions::find(&word).ok_or_else(|| {
            let names = functions::NAMES.join(", ");
            self.error(
                at,
                format!("there is no function `{word}`; there are {names}"),
            )
        })
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let at = self.at();
        let Some(kind) = self.peek().cloned() else {
            return Ok(None);
        };
        let operand = match kind {
            Kind::Dot => {
                self.next += 1;
                Operand::Dot {
                    at,
                    path: Vec::new(),
                }
            }
            Kind::Field { name, .. } => {
                self.next += 1;
                let mut path = vec![name];
                path.extend(self.path());
                Operand::Dot { at, path }
            }
            Kind::Variable(name) => {
                self.known(at, &name)?;
                self.next += 1;
                let path = self.path();
                Operand::Variable { at, name, path }
            }
            Kind::Quoted(text) => self.constant(text),
            Kind::Integer(number) => self.constant(number),
            Kind::Float(number) => self.constant(number),
            Kind::Word(word) if is_constant(&word) => match word.as_str() {
                "true" => self.constant(true),
                "false" => self.constant(false),
                _ => self.constant(serde_json::Value::Null),
            },
            Kind::Word(_) => Operand::Call(Call {
                at,
                function: Some(self.function()?),
                arguments: Vec::new(),
            }),
            Kind::LeftParen => {
                self.next += 1;
                self.deeper(at)?;
                let pipeline = self.pipeline(0)?;
                self.depth -= 1;
                match self.take().map(|token| token.kind) {
                    Some(Kind::RightParen) => {
                        let path = self.path();
                        Operand::Group { at, pipeline, path }
                    }
                    _ => return Err(self.error(at, "`(` has no `)`")),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(operand))
    }

    fn constant(&mut self, value: impl Into<serde_json::Value>) -> Operand {
        self.next += 1;
        Operand::Constant(value.into())
    }

    /// Fields that follow without a blank.
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(Kind::Field { name, glued: true }) = self.peek().cloned() {
            self.next += 1;
            path.push(name);
        }
        path
    }
}

fn is_label(arguments: &[Operand]) -> bool {
    matches!(arguments.first(), Some(Operand::Dot { path, .. }) if *path == ["Label"])
}

fn is_constant(word: &str) -> bool {
    matches!(word, "true" | "false" | "nil")
}
