//! Containers' output, line by line, with coloured `name | ` prefixes.

use std::io::{self, BufWriter, Write};

use crate::runtime::log::{Line, Stream};

use super::terminal::{Paint, Style};
use super::text::width;

/// Docker Compose's cycle of prefix colours.
const COLORS: [Style; 10] = [
    Style("36"),
    Style("33"),
    Style("32"),
    Style("35"),
    Style("34"),
    Style("36;1"),
    Style("33;1"),
    Style("32;1"),
    Style("35;1"),
    Style("34;1"),
];

/// Docker Compose's colour of what a watch says.
const WATCH_COLOR: Style = Style("92");

const BUFFER: usize = 64 * 1024;

/// What a line shows beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// The container's name in front of each line.
    pub(crate) prefix: bool,
    /// The time in front of each line.
    pub(crate) timestamps: bool,
    /// Colours of the prefixes.
    pub(crate) paint: Paint,
}

/// One container whose output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceId(usize);

/// Writes lines of several containers to standard output and standard error.
///
/// Nothing is sure to be seen before [`LogView::flush`].
pub(crate) struct LogView {
    options: LogOptions,
    names: Vec<String>,
    prefixes: Vec<Vec<u8>>,
    out: BufWriter<Box<dyn Write + Send>>,
    err: BufWriter<Box<dyn Write + Send>>,
    last: Stream,
    /// The container and stream whose last line has not ended yet.
    open: Option<(SourceId, Stream)>,
}

impl LogView {
    /// A view on the program's own standard output and error.
    pub(crate) fn new(options: LogOptions) -> Self {
        Self::on(options, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// A view on the program's own standard output alone, whichever stream a line came from: what
    /// Docker Compose's `logs` does, and what those who search in its output rely on.
    pub(crate) fn joined(options: LogOptions) -> Self {
        Self::on(options, Box::new(io::stdout()), Box::new(io::stdout()))
    }

    fn on(options: LogOptions, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            options,
            names: Vec::new(),
            prefixes: Vec::new(),
            out: BufWriter::with_capacity(BUFFER, out),
            err: BufWriter::with_capacity(BUFFER, err),
            last: Stream::Stdout,
            open: None,
        }
    }

    /// Adds a container. The prefixes of all become as wide as the longest name needs.
    pub(crate) fn add(&mut self, name: &str) -> SourceId {
        if let Some(known) = self.names.iter().position(|known| known == name) {
            return SourceId(known);
        }
        self.names.push(name.to_owned());
        let widest = self.names.iter().map(|name| width(name)).max().unwrap_or(0);
        let names = self.names.iter().zip(COLORS.iter().cycle());
        self.prefixes = names
            .map(|(name, color)| {
                let blank = " ".repeat(widest - width(name) + 1);
                let text = format!("{name}{blank} | ");
                self.options.paint.paint(*color, &text).into_bytes()
            })
            .collect();
        SourceId(self.names.len() - 1)
    }

    /// Shows a line.
    pub(crate) fn line(&mut self, source: SourceId, line: &Line<'_>) -> io::Result<()> {
        self.switch_to(line.stream)?;
        let continues = self.open == Some((source, line.stream));
        if !continues {
            self.end_open_line()?;
        }
        let writer = match line.stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        if !continues {
            if self.options.prefix {
                writer.write_all(&self.prefixes[source.0])?;
            }
            if self.options.timestamps {
                writer.write_all(line.time.as_bytes())?;
                writer.write_all(b" ")?;
            }
        }
        writer.write_all(line.text)?;
        if line.partial {
            self.open = Some((source, line.stream));
        } else {
            writer.write_all(b"\n")?;
            self.open = None;
        }
        Ok(())
    }

    /// Says something about a container (`web-1 exited with code 0`) among its output.
    pub(crate) fn status(&mut self, source: SourceId, message: &str) -> io::Result<()> {
        self.switch_to(Stream::Stdout)?;
        self.end_open_line()?;
        let text = format!("{} {message}", self.names[source.0]);
        let color = COLORS[source.0 % COLORS.len()];
        writeln!(self.out, "{}", self.options.paint.paint(color, &text))
    }

    /// Says what a watch does, among the output, with a mark in place of a name.
    pub(crate) fn watch(&mut self, message: &str) -> io::Result<()> {
        self.switch_to(Stream::Stdout)?;
        self.end_open_line()?;
        if !self.options.prefix {
            return writeln!(self.out, "{message}");
        }
        let widest = self.names.iter().map(|name| width(name)).max().unwrap_or(0);
        // Docker Compose's own name for it is this long.
        let blank = " ".repeat(widest.max("#watch".len()) + 1);
        let mark = self
            .options
            .paint
            .paint(WATCH_COLOR, &format!("{blank} ⦿ "));
        writeln!(self.out, "{mark}{message}")
    }

    /// Whether the last line has not ended yet.
    pub(crate) fn is_in_line(&self) -> bool {
        self.open.is_some()
    }

    /// Shows everything so far.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }

    /// Shows everything, and ends a line that was not ended.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.end_open_line()?;
        self.flush()
    }

    /// On a terminal both streams are one: what came first is to be seen first.
    fn switch_to(&mut self, stream: Stream) -> io::Result<()> {
        if self.last != stream {
            self.last = stream;
            self.flush()?;
        }
        Ok(())
    }

    fn end_open_line(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some((_, Stream::Stdout)) if self.has_line_ends() => self.out.write_all(b"\n"),
            Some((_, Stream::Stderr)) if self.has_line_ends() => self.err.write_all(b"\n"),
            _ => Ok(()),
        }
    }

    /// Without prefixes the bytes are the program's own, and none is added.
    fn has_line_ends(&self) -> bool {
        self.options.prefix || self.options.timestamps
    }
}

impl std::fmt::Debug for LogView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogView")
            .field("options", &self.options)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn view(options: LogOptions) -> (LogView, Shared, Shared) {
        let (out, err) = (Shared::default(), Shared::default());
        let view = LogView::on(options, Box::new(out.clone()), Box::new(err.clone()));
        (view, out, err)
    }

    fn line(text: &str) -> Line<'_> {
        Line {
            time: "2026-01-02T03:04:05.678901234Z",
            stream: Stream::Stdout,
            partial: false,
            text: text.as_bytes(),
        }
    }

    const PREFIXED: LogOptions = LogOptions {
        prefix: true,
        timestamps: false,
        paint: Paint::Off,
    };

    #[test]
    fn names_are_padded_to_the_longest_and_streams_stay_apart() {
        let (mut view, out, err) = view(PREFIXED);
        let web = view.add("web-1");
        let database = view.add("database-1");
        view.line(web, &line("hello")).unwrap();
        let complaint = Line {
            stream: Stream::Stderr,
            ..line("oh")
        };
        view.line(database, &complaint).unwrap();
        view.status(web, "exited with code 0").unwrap();
        view.finish().unwrap();
        assert_eq!(
            out.text(),
            "web-1       | hello\nweb-1 exited with code 0\n"
        );
        assert_eq!(err.text(), "database-1  | oh\n");
    }

    #[test]
    fn a_line_that_goes_on_has_one_prefix_until_another_container_speaks() {
        let (mut view, out, _) = view(PREFIXED);
        let a = view.add("a-1");
        let b = view.add("b-1");
        let part = |text| Line {
            partial: true,
            ..line(text)
        };
        view.line(a, &part("one ")).unwrap();
        view.line(a, &part("two ")).unwrap();
        view.line(a, &line("three")).unwrap();
        view.line(a, &part("four")).unwrap();
        view.line(b, &line("five")).unwrap();
        view.line(a, &part("six")).unwrap();
        view.finish().unwrap();
        assert_eq!(
            out.text(),
            "a-1  | one two three\na-1  | four\nb-1  | five\na-1  | six\n"
        );
    }

    #[test]
    fn what_a_watch_says_has_a_mark_in_place_of_a_name() {
        let options = LogOptions {
            prefix: true,
            timestamps: false,
            paint: Paint::Off,
        };
        let (mut view, out, _) = view(options);
        view.add("web-1");
        view.watch("Watch enabled").unwrap();
        let long = view.add("a-longer-name-1");
        view.line(long, &line("output")).unwrap();
        view.watch("Watch disabled").unwrap();
        view.flush().unwrap();
        let expected = "        ⦿ Watch enabled\na-longer-name-1  | output\n                 ⦿ Watch disabled\n";
        assert_eq!(out.text(), expected);
    }

    #[test]
    fn without_prefix_the_bytes_are_the_programs_own() {
        let options = LogOptions {
            prefix: false,
            ..PREFIXED
        };
        let (mut view, out, _) = view(options);
        let a = view.add("a-1");
        view.line(a, &line("{\"json\": 1}")).unwrap();
        let part = Line {
            partial: true,
            ..line("prompt> ")
        };
        view.line(a, &part).unwrap();
        view.finish().unwrap();
        assert_eq!(out.text(), "{\"json\": 1}\nprompt> ");
    }

    #[test]
    fn times_and_colours_are_in_front() {
        let options = LogOptions {
            prefix: true,
            timestamps: true,
            paint: Paint::On,
        };
        let (mut view, out, _) = view(options);
        let a = view.add("a-1");
        view.line(a, &line("x")).unwrap();
        view.finish().unwrap();
        assert_eq!(
            out.text(),
            "\u{1b}[36ma-1  | \u{1b}[0m2026-01-02T03:04:05.678901234Z x\n"
        );
    }
}
