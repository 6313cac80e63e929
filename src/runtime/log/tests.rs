//! What is written is read back.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::runtime::bundle::LogConfig;

type Read = (Stream, String);

/// Lines as one text each: pieces joined.
#[derive(Default)]
struct Collected {
    lines: Vec<Read>,
    open: [Vec<u8>; 2],
}

impl Collected {
    fn add(&mut self, line: Line<'_>) -> ControlFlow<()> {
        let open = &mut self.open[line.stream as usize];
        open.extend_from_slice(line.text);
        if !line.partial {
            let text = String::from_utf8_lossy(&std::mem::take(open)).into_owned();
            self.lines.push((line.stream, text));
        }
        ControlFlow::Continue(())
    }
}

fn config(dir: &Path, max_size: u64, max_files: u32) -> LogConfig {
    LogConfig {
        dir: dir.to_path_buf(),
        max_size,
        max_files,
    }
}

fn read_range(dir: &Path, range: Range) -> Vec<Read> {
    let mut collected = Collected::default();
    read(dir, range, &mut |line| collected.add(line)).unwrap();
    collected.lines
}

fn read_all(dir: &Path) -> Vec<Read> {
    read_range(dir, Range::default())
}

fn tail(dir: &Path, count: u64) -> Vec<Read> {
    let range = Range {
        tail: Some(count),
        ..Range::default()
    };
    read_range(dir, range)
}

fn out(text: impl Into<String>) -> Read {
    (Stream::Stdout, text.into())
}

#[test]
fn a_line_appears_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(&config(dir.path(), 1 << 20, 2)).unwrap();
    log.write(Stream::Stdout, b"one\ntw");
    log.write(Stream::Stderr, b"error\n");
    assert_eq!(
        read_all(dir.path()),
        [out("one"), (Stream::Stderr, "error".into())]
    );
    log.write(Stream::Stdout, b"o\n\nlast");
    log.finish(Stream::Stdout);
    assert_eq!(
        read_all(dir.path()),
        [
            out("one"),
            (Stream::Stderr, "error".into()),
            out("two"),
            out(""),
            out("last")
        ]
    );
}

#[test]
fn a_long_line_is_cut_into_pieces() {
    for (len, pieces) in [
        (16 * 1024 - 1, 1),
        (16 * 1024, 1),
        (16 * 1024 + 1, 2),
        (32 * 1024, 2),
        (100_000, 7),
    ] {
        for step in [1000, 16 * 1024, 200_000] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = LogWriter::open(&config(dir.path(), 1 << 20, 2)).unwrap();
            let text = format!("{}\n", "x".repeat(len));
            for chunk in text.as_bytes().chunks(step) {
                log.write(Stream::Stdout, chunk);
            }
            let mut seen = Vec::new();
            read(dir.path(), Range::default(), &mut |line| {
                seen.push((line.partial, line.text.len()));
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(seen.len(), pieces, "{len} by {step}: {seen:?}");
            assert_eq!(seen.iter().map(|(_, len)| len).sum::<usize>(), len);
            assert!(seen[..pieces - 1].iter().all(|(partial, _)| *partial));
            assert!(!seen[pieces - 1].0);
        }
    }
}

#[test]
fn a_full_file_is_rotated_and_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    // Three lines of 43 bytes each go into a file.
    let mut log = LogWriter::open(&config(dir.path(), 150, 3)).unwrap();
    for number in 0..20 {
        log.write(Stream::Stdout, format!("{number:02}\n").as_bytes());
    }
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["current.log", "current.log.1", "current.log.2"]);
    let expected: Vec<_> = (12..20).map(|number| out(format!("{number:02}"))).collect();
    assert_eq!(read_all(dir.path()), expected);
    assert_eq!(tail(dir.path(), 0), []);
    assert_eq!(tail(dir.path(), 2), expected[6..]);
    assert_eq!(tail(dir.path(), 3), expected[5..]);
    assert_eq!(tail(dir.path(), 8), expected);
    assert_eq!(tail(dir.path(), 1000), expected);
}

#[test]
fn a_log_of_one_file_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(&config(dir.path(), 100, 1)).unwrap();
    for text in ["one\n", "two\n", "three\n"] {
        log.write(Stream::Stdout, text.as_bytes());
    }
    assert_eq!(read_all(dir.path()), [out("three")]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_container_made_anew_goes_on_in_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    LogWriter::open(&config(dir.path(), 42, 9))
        .unwrap()
        .write(Stream::Stdout, b"1\n2\n3\n4\n");
    // The last one was killed in the middle of a line, and this one keeps fewer files.
    let mut file = files::open_current(dir.path()).unwrap();
    file.write_all(b"2026-01-02T03:04:05.678901234Z stdout F to")
        .unwrap();
    let mut log = LogWriter::open(&config(dir.path(), 1 << 20, 2)).unwrap();
    log.write(Stream::Stdout, b"5\n");
    assert_eq!(
        read_all(dir.path()),
        [out("3"), out("4"), out("to"), out("5")]
    );
}

#[test]
fn a_torn_or_foreign_line_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = files::open_current(dir.path()).unwrap();
    let line = |text: &str| format!("2026-01-02T03:04:05.678901234Z stdout F {text}");
    writeln!(file, "{}\nforeign\n\n{}", line("one"), line("two")).unwrap();
    file.write_all(&vec![b'z'; 700_000]).unwrap();
    write!(file, "\n{}\n{}", line("three"), line("torn")).unwrap();
    let expected = [out("one"), out("two"), out("three")];
    assert_eq!(read_all(dir.path()), expected);
    assert_eq!(tail(dir.path(), 1), expected[2..]);
}

#[test]
fn since_and_until_choose_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = files::open_current(dir.path()).unwrap();
    for second in 0..5 {
        writeln!(
            file,
            "2026-01-02T03:04:0{second}.000000000Z stdout F {second}"
        )
        .unwrap();
    }
    let time = |text: &str| Some(text.parse().unwrap());
    let range = |tail, since, until| Range { tail, since, until };
    for (range, expected) in [
        (range(None, time("2026-01-02T03:04:03Z"), None), "34"),
        (range(None, None, time("2026-01-02T03:04:02Z")), "01"),
        (
            range(
                None,
                time("2026-01-02T04:04:00.5+01:00"),
                time("2026-01-02T03:04:02.1Z"),
            ),
            "12",
        ),
        (range(Some(2), time("2026-01-02T03:04:01Z"), None), "34"),
        (range(Some(9), time("2027-01-02T03:04:01Z"), None), ""),
    ] {
        let text: String = read_range(dir.path(), range)
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(text, expected, "{range:?}");
    }
}

#[test]
fn a_follower_sees_every_line_through_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let mut follower = Follower::new(&dir.path().join("log"), Range::default()).unwrap();
    let mut collected = Collected::default();
    let mut take = |follower: &mut Follower| {
        follower
            .read_available(&mut |line| collected.add(line))
            .unwrap()
    };
    assert_eq!(take(&mut follower), 0);
    fs::create_dir(dir.path().join("log")).unwrap();
    assert_eq!(take(&mut follower), 0);
    let mut log = LogWriter::open(&config(&dir.path().join("log"), 100, 5)).unwrap();
    for number in 0..50 {
        // Two lines a file: up to three rotations between two looks.
        log.write(Stream::Stdout, format!("{number}\n").as_bytes());
        if number % 7 == 6 {
            assert_eq!(take(&mut follower), 7);
        }
    }
    assert_eq!(take(&mut follower), 1);
    assert_eq!(take(&mut follower), 0);
    let expected: Vec<_> = (0..50).map(|number| out(number.to_string())).collect();
    assert_eq!(collected.lines, expected);
}

#[test]
fn a_follower_can_pause_and_starts_at_the_tail() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(&config(dir.path(), 100, 9)).unwrap();
    for number in 0..10 {
        log.write(Stream::Stdout, format!("{number}\n").as_bytes());
    }
    let range = Range {
        tail: Some(3),
        ..Range::default()
    };
    let mut follower = Follower::new(dir.path(), range).unwrap();
    log.write(Stream::Stdout, b"10\n");
    let mut seen = Vec::new();
    while follower
        .read_available(&mut |line| {
            seen.push(String::from_utf8_lossy(line.text).into_owned());
            ControlFlow::Break(())
        })
        .unwrap()
        == 1
    {}
    assert_eq!(seen, ["7", "8", "9", "10"]);
}

/// Short lines, and pieces of very long ones.
fn text() -> impl Strategy<Value = String> {
    let long = (0..20_000_usize, prop_oneof!["", "\n"]);
    prop_oneof![
        "[a-z\n ]{0,40}",
        long.prop_map(|(len, end)| "x".repeat(len) + &end)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read_back(
        chunks in prop::collection::vec(
            (any::<bool>(), text()), 0..40),
        max_size in 100_u64..5000,
        count in 0_u64..40,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(&config(dir.path(), max_size, 10_000)).unwrap();
        let mut follower = Follower::new(dir.path(), Range::default()).unwrap();
        let mut followed = Collected::default();
        let mut written = [String::new(), String::new()];
        for (error, text) in &chunks {
            let stream = if *error { Stream::Stderr } else { Stream::Stdout };
            log.write(stream, text.as_bytes());
            written[stream as usize].push_str(text);
            follower.read_available(&mut |line| followed.add(line)).unwrap();
        }
        log.finish(Stream::Stdout);
        log.finish(Stream::Stderr);
        follower.read_available(&mut |line| followed.add(line)).unwrap();

        let all = read_all(dir.path());
        prop_assert_eq!(&followed.lines, &all);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let read: Vec<_> = all.iter().filter(|(s, _)| *s == stream).map(|(_, t)| t.as_str()).collect();
            let expected: Vec<_> = written[stream as usize].split_terminator('\n').collect();
            prop_assert_eq!(read, expected);
        }
        let last = tail(dir.path(), count);
        let wanted = (count as usize).min(all.len());
        prop_assert_eq!(last.len(), wanted);
        // The pieces of a long line of one stream may lie before lines of the other: the last line
        // of each may lack its beginning, never its end.
        for (seen, whole) in last.iter().zip(&all[all.len() - wanted..]) {
            prop_assert_eq!(seen.0, whole.0);
            prop_assert!(whole.1.ends_with(&seen.1));
        }
        if chunks.iter().all(|(error, _)| !error) {
            prop_assert_eq!(&last, &all[all.len() - wanted..]);
        }
    }
}
