//! Files that mean harm: every one ends soon, in bounded memory, with a problem that says where.

use std::fmt::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::try_load;
use crate::compose::diagnostic::{Color, Diagnostics};
use crate::compose::load::Loaded;
use crate::compose::{render, sources};

/// Far above what any of these takes, far below what squared time would take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Of this thread: a busy machine must not make a test fail.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Loads files and, when there is something to print, prints all of it.
fn run(files: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
    let started = cpu_time();
    let result = try_load(files);
    let problems = match &result {
        Ok(loaded) => {
            render::to_json(loaded);
            render::to_yaml(loaded);
            &loaded.warnings
        }
        Err(problems) => problems,
    };
    let shown = problems.render(Color::Never, 80);
    assert!(shown.len() < 400_000, "{} bytes", shown.len());
    let lines = problems.to_string();
    assert!(lines.len() < 400_000, "{} bytes", lines.len());
    let took = cpu_time() - started;
    assert!(
        took < PATIENCE,
        "{took:?}: {}",
        &files[0].1[..200.min(files[0].1.len())]
    );
    result
}

/// What is said about a single file, a line for each problem.
fn refusal(text: &str) -> String {
    match run(&[("compose.yaml", text)]) {
        Ok(loaded) => panic!("loaded: {}", loaded.warnings),
        Err(problems) => problems.to_string(),
    }
}

fn accepted(text: &str) -> Loaded {
    run(&[("compose.yaml", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A file of many parts.
fn many(count: usize, head: &str, part: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for index in 0..count {
        text += &part(index);
    }
    text
}

#[test]
fn aliases_of_aliases_are_counted() {
    let lists = many(9, "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", |level| {
        let alias = format!("*a{level}, ");
        format!("x-{0}: &a{0} [{1}]\n", level + 1, alias.repeat(10))
    });
    let maps = many(9, "x-0: &a0 {a: x, b: x, c: x, d: x}\n", |level| {
        let keys = ["a", "b", "c", "d", "e", "f", "g"].map(|key| format!("{key}: *a{level}, "));
        format!("x-{0}: &a{0} {{{1}}}\n", level + 1, keys.concat())
    });
    let merges = many(9, "x-0: &a0 {a: x, b: x, c: x, d: x}\n", |level| {
        let sources = format!("*a{level}, ").repeat(10);
        format!("x-{0}: &a{0} {{<<: [{sources}], k{0}: 1}}\n", level + 1)
    });
    for text in [lists, maps, merges] {
        let refusal = refusal(&text);
        assert!(
            refusal.contains("stand for more than 1000000 values"),
            "{refusal}"
        );
        assert!(refusal.starts_with("compose.yaml:"), "{refusal}");
    }
}

#[test]
fn a_long_text_cannot_be_multiplied_by_aliases() {
    let text = format!(
        "x-a: &a \"{}\"\nx-b: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(10_000)
    );
    let refusal = refusal(&text);
    assert!(
        refusal.contains("stand for more than 128 MiB of text"),
        "{refusal}"
    );
}

#[test]
fn anchors_inside_of_anchors_do_not_multiply() {
    let opened: String = (0..90).map(|level| format!("&a{level} [")).collect();
    let text = format!("x-a: {opened}{}{}", "x, ".repeat(300_000), "]".repeat(90));
    assert!(
        refusal(&text).contains("stand for more than"),
        "not refused"
    );
}

#[test]
fn nesting_is_bounded_in_every_style() {
    let depth = 100_000;
    let indented = many(2000, "", |level| format!("{}a:\n", " ".repeat(level)));
    let texts = [
        "[".repeat(depth),
        "{a: ".repeat(depth),
        "x-a: ".to_owned() + &"[".repeat(depth) + &"]".repeat(depth),
        "- ".repeat(depth),
        "? ".repeat(depth),
        "!a &b ".repeat(depth),
        indented,
    ];
    for text in texts {
        let refusal = refusal(&text);
        assert!(refusal.starts_with("compose.yaml:"), "{refusal}");
    }
}

#[test]
fn large_files_and_texts_are_refused_or_taken_whole() {
    let text = format!(
        "services:\n  a:\n    image: x\n    labels:\n      l: \"{}\"\n",
        "x".repeat(8 << 20)
    );
    let loaded = accepted(&text);
    assert_eq!(loaded.stack.services.len(), 1);
    let text = "x".repeat(17 << 20);
    let problems = refusal(&text);
    assert_eq!(
        problems,
        "error: compose.yaml: the file is too large; it may have 16 MiB"
    );
}

#[test]
fn services_by_the_ten_thousand_are_loaded() {
    let text = many(10_000, "services:\n", |index| {
        format!("  s{index}: {{image: a}}\n")
    });
    assert_eq!(accepted(&text).stack.services.len(), 10_000);
}

#[test]
fn mistakes_by_the_ten_thousand_are_counted() {
    let count = 15_000;
    let services = "services:\n  a: {image: a}\n";
    let table = [
        many(count, "services:\n", |index| {
            format!("  s{index}: {{image: a, depends_on: [t{index}]}}\n")
        }),
        many(count, "services:\n", |index| format!("  s{index}: {{}}\n")),
        many(count, "services:\n  a:\n", |index| {
            format!("    imag{index}: x\n")
        }),
        many(count, services, |_| "x-a: 1\n".to_owned()),
        many(count, "services:\n  a:\n    image: a\n    ports:\n", |_| {
            "    - x\n".to_owned()
        }),
    ];
    for text in table {
        let refusal = refusal(&text);
        assert!(refusal.lines().count() < 402, "{refusal}");
        let last = refusal.lines().last().unwrap();
        assert!(
            last.starts_with("… and ") && last.ends_with(" more problems"),
            "{last}"
        );
    }
}

/// Warnings that fill the list leave the place of the errors alone.
#[test]
fn an_error_after_many_warnings_is_still_told() {
    let text = many(
        1000,
        "services:\n  a:\n    image: a\n    labels:\n",
        |index| format!("      l{index}: $V{index}\n"),
    );
    let refusal = refusal(&(text + "    privileged: sometimes\n"));
    assert!(
        refusal.contains("error: `services.a.privileged`"),
        "{refusal}"
    );
}

#[test]
fn one_circle_through_all_services_does_not_take_squared_time() {
    let text = many(10_000, "services:\n", |index| {
        let next = (index + 1) % 10_000;
        format!("  s{index}: {{image: a, depends_on: [s{next}, s0]}}\n")
    });
    let refusal = refusal(&text);
    assert!(refusal.contains("in a circle"), "{refusal}");
}

#[test]
fn one_port_on_many_addresses_does_not_take_squared_time() {
    let text = many(15_000, "services:\n", |index| {
        let (a, b) = (index / 250, index % 250);
        format!("  s{index}: {{image: a, ports: ['127.{a}.{b}.1:80:80']}}\n")
    });
    accepted(&text);
}

#[test]
fn ranges_of_ports_are_counted() {
    let text = many(200, "services:\n", |index| {
        format!("  s{index}: {{image: a, ports: ['1-65535']}}\n")
    });
    assert!(
        refusal(&text).contains("stand for more than"),
        "not refused"
    );
}

#[test]
fn many_documents_are_refused() {
    let text = "---\nservices: {a: {image: a}}\n".repeat(50_000);
    assert!(
        refusal(&text).contains("more than 1000 documents"),
        "not refused"
    );
    let text = "---\n".repeat(500_000) + "services: {a: {image: a}}\n";
    let _ = run(&[("compose.yaml", &text)]);
}

#[test]
fn resets_of_many_keys_do_not_take_squared_time() {
    let keys = many(50_000, "", |index| format!("      l{index}: x\n"));
    let resets = many(50_000, "", |index| format!("      l{index}: !reset null\n"));
    let head = "services:\n  a:\n    image: a\n    labels:\n";
    let main = format!("{head}{keys}");
    let over = format!("{head}{resets}");
    let files = [
        ("compose.yaml", main.as_str()),
        ("compose.override.yaml", &over),
    ];
    let loaded = run(&files).unwrap();
    assert!(
        loaded
            .stack
            .services
            .values()
            .all(|service| service.labels.is_empty())
    );
}

#[test]
fn variables_inside_of_variables_are_counted() {
    let stack = "services:\n  a: {image: a, labels: {l: $V39}}\n";
    let doubling = many(40, "V=xxxxxxxxxxxxxxxx\nV0=$V$V\n", |index| {
        format!("V{0}=${{V{index}}}${{V{index}}}\n", index + 1)
    });
    let refused = run(&[("compose.yaml", stack), (".env", &doubling)]).unwrap_err();
    assert!(refused.to_string().contains("MiB"), "{refused}");

    let long = format!("V={}\n", "x".repeat(8 << 20));
    let uses = many(
        1000,
        "services:\n  a:\n    image: a\n    labels:\n",
        |index| format!("      l{index}: $V\n"),
    );
    let refused = run(&[("compose.yaml", &uses), (".env", &long)]).unwrap_err();
    assert!(
        refused.to_string().contains("more than 128 MiB of text"),
        "{refused}"
    );

    let once = format!(
        "services:\n  a: {{image: a, labels: {{l: {}}}}}\n",
        "$V".repeat(100_000)
    );
    let refused = run(&[("compose.yaml", &once), (".env", &long)]).unwrap_err();
    assert!(
        refused.to_string().contains("more than 16 MiB once"),
        "{refused}"
    );
}

#[test]
fn a_file_of_variables_that_every_service_reads_is_counted_for_each() {
    let variables = many(10_000, "", |index| format!("V{index}={}\n", "x".repeat(90)));
    let stack = many(500, "services:\n", |index| {
        format!(
            "  s{index}: {{image: a, env_file: big.env, profiles: [p{}]}}\n",
            index % 2
        )
    });
    let refused = run(&[("compose.yaml", &stack), ("big.env", &variables)]);
    // All services are off: what is wrong with their files is not told, and still bounded.
    assert!(refused.is_ok());
    let stack = stack.replace("p0", "");
    let _ = run(&[("compose.yaml", &stack), ("big.env", &variables)]);
}

#[test]
fn templates_of_every_shape_end_soon() {
    let texts = [
        "${A:-".repeat(100_000) + &"}".repeat(100_000),
        "${A:-".repeat(100_000),
        "${".repeat(100_000),
        "$A".repeat(100_000),
        "${A:-x}".repeat(100_000),
        "$$".repeat(100_000),
        "${A:-{".repeat(30) + &"x".repeat(100_000) + &"}}".repeat(30),
        (0..100_000).map(|index| format!("${{V{index}}}")).collect(),
    ];
    for text in texts {
        let stack = format!("services:\n  a: {{image: a, labels: {{l: '{text}'}}}}\n");
        let _ = run(&[("compose.yaml", &stack)]);
        let _ = run(&[
            ("compose.yaml", "services: {a: {image: a}}"),
            (".env", &format!("A={text}\n")),
        ]);
    }
}

#[test]
fn absurd_numbers_are_refused_with_their_place() {
    let long = "9".repeat(100_000);
    let hex = format!("0x{}", "f".repeat(1000));
    let numbers = [
        "1e999999999",
        "-1e999",
        ".inf",
        ".nan",
        "0x",
        "1_000",
        "-9223372036854775809",
        "170141183460469231731687303715884105728",
        "0o8",
        "1e-999",
        "--1",
        "+",
        hex.as_str(),
        long.as_str(),
    ];
    let keys = [
        "cpus",
        "mem_limit",
        "pids_limit",
        "shm_size",
        "oom_score_adj",
        "stop_grace_period",
        "scale",
        "cpu_quota",
        "cpu_shares",
        "memswap_limit",
    ];
    for number in numbers {
        for key in keys {
            for written in [
                number.to_owned(),
                format!("'{number}'"),
                format!("'{number}g'"),
                format!("'{number}s'"),
            ] {
                let text = format!("services:\n  a:\n    image: a\n    {key}: {written}\n");
                if let Err(problems) = run(&[("compose.yaml", &text)]) {
                    let place = problems.to_string();
                    assert!(place.starts_with("compose.yaml:"), "{text}: {place}");
                }
            }
        }
        for item in [
            format!("{number}:80"),
            format!("80:{number}"),
            format!("1-{number}"),
            format!("{number}-2:3-4"),
        ] {
            let text = format!("services:\n  a:\n    image: a\n    ports: ['{item}']\n");
            let _ = run(&[("compose.yaml", &text)]);
        }
    }
}

/// Nothing of a file or its name reaches a terminal that it would obey.
#[test]
fn escape_sequences_are_shown_and_not_sent() {
    let evil = "\\e[31m\\u009b31m\\u202e";
    let raw = "\u{1b}[31m\u{9b}31m\u{202e}\u{7}";
    let texts = [
        format!("services:\n  a:\n    image: a\n    privileged: \"{evil}\"\n"),
        format!("services:\n  a:\n    image: a\n    \"{evil}\": x\n"),
        format!("services:\n  a:\n    image: a\n    privileged: \"{raw}\"\n"),
        format!("services:\n  a:\n    image: a\n    # {raw}\n    privileged: x\n"),
        format!("services:\n  a:\n    image: a\n    labels: [\"x${{A:?{evil}}}\"]\n"),
    ];
    let obeyed = |c: char| c != '\n' && sources::is_obeyed(c);
    for text in texts {
        for files in [
            vec![("compose.yaml", text.as_str())],
            vec![
                (
                    "compose.yaml",
                    "services:\n  a: {image: a, env_file: \"\\e[31m.env\"}\n",
                ),
                ("\u{1b}[31m.env", raw),
            ],
        ] {
            let problems = run(&files).unwrap_err();
            let shown = problems.render(Color::Never, 80);
            assert!(!shown.contains(obeyed), "{shown:?}");
            assert!(!problems.to_string().contains(obeyed), "{problems}");
        }
    }
}

#[test]
fn very_long_lines_are_shown_in_part() {
    let filler = "x, ".repeat(100_000);
    let text = format!(
        "x-a: [{filler}]\nservices: {{a: {{image: a, labels: [{filler}], privileged: sometimes, env_file: [{filler}]}}}}\n"
    );
    let problems = run(&[("compose.yaml", &text)]).unwrap_err();
    let shown = problems.render(Color::Never, 80);
    let first = shown.split("\n\n").next().unwrap();
    assert!(first.len() < 2000, "{first}");
    let restart = shown
        .split("\n\n")
        .find(|part| part.contains("sometimes"))
        .unwrap();
    insta::assert_snapshot!(restart, @r"
    error: `services.a.privileged` must be true or false, not `sometimes`
     --> compose.yaml:2:300050
      |
    2 | … x, x, x, x, x, x, x, x, ], privileged: sometimes, env_file: [x, x, x, x...
      |                                          ^^^^^^^^^
    ");
}

#[test]
fn a_long_value_is_named_by_its_ends() {
    let text = format!(
        "services:\n  a:\n    image: a\n    privileged: {}\n",
        "long".repeat(50_000)
    );
    let shown = run(&[("compose.yaml", &text)])
        .unwrap_err()
        .render(Color::Never, 80);
    insta::assert_snapshot!(shown, @r"
    error: `services.a.privileged` must be true or false, not
           `longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglo
           … longlonglonglonglonglonglonglonglonglong`
     --> compose.yaml:4:17
      |
    4 | ...d: longlonglonglonglonglongl...glonglonglonglonglonglong…
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^...^^^^^^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn many_problems_in_a_large_file_are_shown_soon() {
    let mut text = many(20_000, "services:\n", |index| {
        format!("  s{index}: {{image: a, imag: {index}}}\n")
    });
    text += "  s0: {image: b}\n";
    let problems = run(&[("compose.yaml", &text)]).unwrap_err();
    let mut shown = String::new();
    write!(shown, "{}", problems.render(Color::Always, 40)).unwrap();
    assert!(shown.contains("more problems"), "{shown}");
}
