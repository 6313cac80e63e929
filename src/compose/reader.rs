//! From text to [`Node`]s: YAML with anchors, merge keys and tags resolved.
//!
//! The input may be hostile: depth and number of nodes are bounded, aliases included (a few lines of
//! nested aliases can stand for billions of nodes).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span as YamlSpan, Tag};
use indexmap::map::Entry as Slot;

use super::diagnostic::{FileId, Problems, Span};
use super::hints;
use super::scalar;
use super::tree::{self, Directive, Entry, Map, Node, Value};

/// Nesting that no real file comes near.
pub(super) const MAX_DEPTH: usize = 100;
/// Documents of one file; merging each onto those before it takes time.
const MAX_DOCUMENTS: usize = 1000;

/// The documents of a file. Problems are recorded; what could be read is returned.
pub(super) fn read(text: &str, file: FileId, problems: &mut Problems) -> Vec<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        simple_key_max_lookahead: 4096,
    };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        text,
        file,
        anchors: HashMap::new(),
        names: HashMap::new(),
        pending: Vec::new(),
        problems,
    };
    let mut documents = Vec::new();
    // A syntax error was recorded where it was met; the documents before it are still of use.
    while let Ok(Some(document)) = reader.document() {
        if documents.len() == MAX_DOCUMENTS {
            let problem = format!("the file has more than {MAX_DOCUMENTS} documents");
            reader.problems.error(document.span, problem);
            break;
        }
        documents.push(document);
    }
    documents
}

/// The rest of the file cannot be read; why was recorded.
struct Unreadable;

type Read<T> = Result<T, Unreadable>;

struct Anchor {
    node: Node,
    values: usize,
    bytes: usize,
    height: usize,
}

/// A node with its size, which bounds what aliases may multiply.
struct Sized {
    node: Node,
    height: usize,
}

struct Reader<'a, 'p, I: Iterator> {
    events: I,
    text: &'a str,
    file: FileId,
    /// Of all documents of the file: as in Compose, an alias may name one of an earlier document.
    anchors: HashMap<usize, Anchor>,
    names: HashMap<String, usize>,
    /// Keys of the mappings that are being read, the innermost last.
    pending: Vec<(String, Entry)>,
    problems: &'p mut Problems,
}

type Item<'a> = Result<(Event<'a>, YamlSpan), granit_parser::ScanError>;

impl<'a, I: Iterator<Item = Item<'a>>> Reader<'a, '_, I> {
    fn next(&mut self) -> Read<(Event<'a>, Span)> {
        loop {
            return match self.events.next() {
                Some(Ok((Event::Anchor(id, name), _))) => {
                    self.names.insert(name.into_owned(), id);
                    continue;
                }
                Some(Ok((event, span))) => {
                    let span = self.span(span);
                    Ok((event, span))
                }
                Some(Err(error)) => {
                    self.syntax_error(&error);
                    Err(Unreadable)
                }
                None => Err(Unreadable),
            };
        }
    }

    fn span(&self, span: YamlSpan) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        let Range { start, mut end } = range;
        // The parser ends a block scalar or collection after the line break.
        if let Some(covered) = self.text.get(start..end)
            && covered.ends_with(|c: char| c.is_whitespace())
        {
            end = start + covered.trim_end().len();
        }
        let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: at(start),
            end: at(end),
        }
    }

    fn syntax_error(&mut self, error: &granit_parser::ScanError) {
        let offset = error.marker().byte_offset().unwrap_or(0);
        // What ends too early is shown where its last line ends.
        let mut start = offset.min(self.text.trim_end().len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        let end = start + self.text[start..].chars().next().map_or(0, char::len_utf8);
        let span = Span {
            file: self.file,
            start: at(start),
            end: at(end),
        };
        let too_deep = *error.kind() == ErrorKind::RecursionLimitExceeded;
        let why = match too_deep {
            true => "nested too deep".to_owned(),
            false => error.info(),
        };
        let diagnostic = self
            .problems
            .error(span, format!("the YAML cannot be read: {}", error.info()));
        if let Some(hint) = hints::syntax(self.text, start, &why) {
            diagnostic.help(hint);
        }
    }

    /// The next document; `None` at the end of the file.
    fn document(&mut self) -> Read<Option<Node>> {
        loop {
            match self.next()?.0 {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    return Ok(Some(self.node(event, span, 0)?.node));
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, values: usize, bytes: usize, span: Span) -> Read<()> {
        let Err(error) = self.problems.budget.take(values, bytes) else {
            return Ok(());
        };
        self.problems
            .error(span, error.to_string())
            .help("an alias counts as all that it stands for");
        Err(Unreadable)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Read<Sized> {
        let before = self.problems.budget.left();
        let text = match &event {
            Event::Scalar(text, ..) => text.len(),
            _ => 0,
        };
        self.count(1, text, span)?;
        if depth > MAX_DEPTH {
            self.problems
                .error(span, format!("nested deeper than {MAX_DEPTH} levels"));
            return Err(Unreadable);
        }
        let (mut sized, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = self.without_break(&text, style, span);
                let value = self.scalar(text, style, tag.as_deref(), span);
                let node = Node::new(value, span);
                (Sized { node, height: 0 }, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.sequence(span, depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.mapping(span, depth)?, anchor, tag),
            Event::Alias(id) => return self.alias(id, span, depth),
            Event::UnresolvedAlias(name) => {
                if let Some(id) = self.names.get(name.as_ref()) {
                    return self.alias(*id, span, depth);
                }
                self.problems
                    .error(span, format!("there is no anchor `&{name}` before this"));
                let mut node = Node::new(Value::Null, span);
                // Not there for the later phases: one message is enough.
                node.directive = Directive::Reset;
                return Ok(Sized { node, height: 0 });
            }
            _ => return Err(Unreadable),
        };
        sized.node.directive = self.directive(tag.as_deref(), span);
        if sized.node.directive == Directive::Override {
            // As in Compose, what is asked further down has no meaning: there is nothing left to merge.
            unmark_below(&mut sized.node);
        }
        if anchor != 0 {
            let after = self.problems.budget.left();
            let (values, bytes) = (before.0 - after.0, before.1 - after.1);
            // The copy counts as well: anchors inside of anchors would multiply what they hold.
            self.count(values, bytes, span)?;
            let node = sized.node.clone();
            let anchored = Anchor {
                node,
                values,
                bytes,
                height: sized.height,
            };
            self.anchors.insert(anchor, anchored);
        }
        Ok(sized)
    }

    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Read<Sized> {
        let found = self.anchors.get(&id);
        let Some((values, bytes, height)) = found.map(|a| (a.values, a.bytes, a.height)) else {
            self.problems
                .error(span, "this alias stands inside of what it stands for");
            return Err(Unreadable);
        };
        self.count(values, bytes, span)?;
        if depth + height > MAX_DEPTH {
            self.problems
                .error(span, format!("nested deeper than {MAX_DEPTH} levels"));
            return Err(Unreadable);
        }
        let node = self.anchors[&id].node.clone();
        Ok(Sized { node, height })
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Read<Sized> {
        let mut items = Vec::new();
        let mut height = 0;
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let node = Node::new(Value::List(items), enclosing(start, span));
                return Ok(Sized {
                    node,
                    height: height + 1,
                });
            }
            let item = self.node(event, span, depth + 1)?;
            height = height.max(item.height);
            items.push(item.node);
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Read<Sized> {
        let first = self.pending.len();
        let mut merged: Option<(Span, Node)> = None;
        let mut height = 0;
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                let map = self.collect(first, merged.map(|(_, source)| source));
                let node = Node::new(Value::Map(map), enclosing(start, key_span));
                return Ok(Sized {
                    node,
                    height: height + 1,
                });
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.key(event, key_span, depth)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            height = height.max(value.height);
            if is_merge {
                match &merged {
                    Some((first, _)) => self.twice("<<", key_span, *first),
                    None => merged = Some((key_span, value.node)),
                }
            } else if let Some(key) = key {
                let node = value.node;
                let entry = Entry {
                    key: key_span,
                    node,
                };
                self.pending.push((key, entry));
            }
        }
    }

    /// Makes a mapping of the keys from the one at `first` on that wait for it, and of what is merged
    /// into it. Its size is known by now: most mappings are small, and room to grow would be half of
    /// the memory.
    fn collect(&mut self, first: usize, merged: Option<Node>) -> Map {
        let below = merged.as_ref().and_then(Node::as_map).map_or(0, Map::len);
        let mut map = tree::map_for(self.pending.len() - first + below);
        let mut twice = Vec::new();
        for (key, entry) in self.pending.drain(first..) {
            match map.entry(key) {
                Slot::Occupied(known) => {
                    twice.push((known.key().clone(), entry.key, known.get().key));
                }
                Slot::Vacant(free) => {
                    free.insert(entry);
                }
            }
        }
        for (key, span, first) in twice {
            self.twice(&key, span, first);
        }
        if let Some(source) = merged {
            self.merge_key(&mut map, source);
        }
        map
    }

    fn twice(&mut self, key: &str, span: Span, first: Span) {
        self.problems
            .error(span, format!("the key `{key}` is given twice"))
            .related(first, "first given here");
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Read<Option<String>> {
        let key = self.node(event, span, depth + 1)?.node;
        if let Value::Text(text) = key.value {
            return Ok(Some(text));
        }
        let written = self.problems.sources.text(span).map(str::to_owned);
        let diagnostic = self
            .problems
            .error(span, format!("a key must be text, not {}", key.kind()));
        if let Some(written) = written
            && !matches!(key.value, Value::List(_) | Value::Map(_))
        {
            diagnostic.help(format!("put it in quotes: \"{written}\""));
        }
        Ok(None)
    }

    /// `<<`: the keys of the source that the mapping does not have itself.
    fn merge_key(&mut self, map: &mut Map, source: Node) {
        match source.value {
            Value::Map(entries) => {
                for (key, entry) in entries {
                    map.entry(key).or_insert(entry);
                }
            }
            Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
                for item in items {
                    self.merge_key(map, item);
                }
            }
            _ if source.directive == Directive::Reset => {}
            _ => {
                let kind = source.kind();
                let diagnostic = self.problems.error(
                    source.span,
                    format!("`<<` takes a mapping or a list of mappings, not {kind}"),
                );
                if let Some(name) = source.as_text().filter(|name| !name.contains(' ')) {
                    diagnostic.help(format!(
                        "what an anchor `&{name}` stands for is written `*{name}`"
                    ));
                }
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        if text.contains('\0') {
            // No program, file or variable can take one.
            self.problems
                .error(span, "text cannot hold a NUL character");
        }
        let wanted = tag.and_then(Tag::core_suffix);
        let value = match (wanted, style) {
            (Some("str"), _) => Value::Text(text.to_owned()),
            (Some(_), _) | (None, ScalarStyle::Plain) => scalar::resolve(text),
            (None, _) => Value::Text(text.to_owned()),
        };
        let fits = match wanted {
            None | Some("str") => true,
            Some("null") => value == Value::Null,
            Some("bool") => matches!(value, Value::Bool(_)),
            Some("int") => matches!(value, Value::Int(_)),
            Some("timestamp") => matches!(value, Value::Moment(_)),
            Some("float") => matches!(value, Value::Int(_) | Value::Float(_)),
            Some(_) => false,
        };
        if !fits {
            self.problems.error(
                span,
                format!("`{text}` is not a `!!{}`", wanted.unwrap_or("")),
            );
        }
        value
    }

    /// A block of lines at the end of a file that ends without a line break has none either.
    fn without_break<'t>(&self, text: &'t str, style: ScalarStyle, span: Span) -> &'t str {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return text;
        }
        let (_, last_line) = self.text.rsplit_once('\n').unwrap_or_default();
        let at_end = !last_line.trim().is_empty()
            && usize::try_from(span.end).is_ok_and(|end| end >= self.text.trim_end().len());
        match text.strip_suffix('\n') {
            Some(shorter) if at_end => shorter,
            _ => text,
        }
    }

    fn directive(&mut self, tag: Option<&Tag>, span: Span) -> Directive {
        let Some(tag) = tag else {
            return Directive::Merge;
        };
        if tag.is_yaml_core_schema() {
            return Directive::Merge;
        }
        match tag.original().as_str() {
            "!reset" => return Directive::Reset,
            "!override" => return Directive::Override,
            "!" => {}
            other => {
                self.problems
                    .warn(span, format!("the tag `{other}` has no meaning here"))
                    .help("a stack file knows `!reset` and `!override`");
            }
        }
        Directive::Merge
    }
}

/// Takes the directives below a value away.
fn unmark_below(node: &mut Node) {
    let unmark = |node: &mut Node| {
        node.directive = Directive::Merge;
        unmark_below(node);
    };
    match &mut node.value {
        Value::Map(map) => map.values_mut().for_each(|entry| unmark(&mut entry.node)),
        Value::List(items) => items.iter_mut().for_each(unmark),
        _ => {}
    }
}

/// From the start of one span to the end of another; a block collection's own events are empty.
fn enclosing(start: Span, end: Span) -> Span {
    Span {
        file: start.file,
        start: start.start,
        end: end.end.max(start.start),
    }
}
