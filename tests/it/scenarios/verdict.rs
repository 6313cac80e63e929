//! What differs, and whether it may.

use std::collections::{BTreeMap, BTreeSet};

use super::script::Step;
use super::transcript::{self, Answer};

/// What the files of a scenario say.
pub(super) struct Expected<'a> {
    /// Docker Compose's answers, one for each step.
    pub(super) docker: &'a [Answer],
    /// Our own answers to the steps that are marked as different on purpose, in their order.
    pub(super) ours: &'a [Answer],
    /// The lines of `NOT_YET`.
    pub(super) not_yet: &'a BTreeMap<String, String>,
}

/// What was found in the answers of a scenario.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// What is wrong, for people; nothing when all is as expected.
    pub(super) problems: Vec<String>,
    /// Places of `NOT_YET` that match by now.
    pub(super) stale: Vec<String>,
    /// Steps that are marked as different and are not.
    pub(super) unmarked: Vec<usize>,
}

/// Holds the answers of a scenario against what is expected.
pub(super) fn judge(
    name: &str,
    steps: &[Step],
    answers: &[Answer],
    expected: &Expected<'_>,
) -> Verdict {
    let titles: Vec<_> = steps.iter().map(Step::title).collect();
    let recorded: Vec<_> = expected.docker.iter().map(|answer| &answer.title).collect();
    let mut verdict = Verdict::default();
    if !titles.iter().eq(recorded) {
        verdict.problems.push(format!(
            "{name}: `expected` is about other commands than `scenario`: run generate.sh {name}"
        ));
        return verdict;
    }
    let mut own = expected.ours.iter();
    let mut different = BTreeSet::new();
    let all = steps.iter().zip(answers).zip(expected.docker).enumerate();
    for (index, ((step, answer), docker)) in all {
        let number = index + 1;
        let wanted = match step.differs {
            None => docker,
            Some(_) if answer == docker => {
                verdict.unmarked.push(index);
                verdict.problems.push(format!(
                    "{name}:{number}: no longer differs; take the mark away: $ {}",
                    answer.title
                ));
                own.next();
                continue;
            }
            Some(_) => match own.next().filter(|own| own.title == answer.title) {
                Some(own) => own,
                None => {
                    let text = transcript::print([answer]);
                    verdict
                        .problems
                        .push(format!("{name}:{number}: not in `ours`:\n{text}"));
                    continue;
                }
            },
        };
        for part in parts(answer, wanted) {
            let place = format!("{name}:{number}:{part}");
            if !expected.not_yet.contains_key(&place) {
                let text = difference(part, answer, wanted);
                verdict.problems.push(format!("{place}\n{text}"));
            }
            different.insert(place);
        }
    }
    let of_this = |place: &&String| place.split(':').next() == Some(name);
    let listed = expected.not_yet.keys().filter(of_this);
    verdict.stale = listed
        .filter(|place| !different.contains(*place))
        .cloned()
        .collect();
    let stale = verdict.stale.iter();
    verdict
        .problems
        .extend(stale.map(|place| format!("{place}: matches now; take it out of NOT_YET")));
    verdict
}

fn parts(answer: &Answer, wanted: &Answer) -> Vec<&'static str> {
    let mut parts = Vec::new();
    if answer.code != wanted.code {
        parts.push("exit");
    }
    if answer.stdout != wanted.stdout {
        parts.push("out");
    }
    if answer.stderr != wanted.stderr {
        parts.push("err");
    }
    parts
}

fn difference(part: &str, answer: &Answer, wanted: &Answer) -> String {
    let code = |answer: &Answer| vec![format!("exit {}", answer.code)];
    let (wanted_lines, lines) = match part {
        "exit" => (code(wanted), code(answer)),
        "out" => (wanted.stdout.clone(), answer.stdout.clone()),
        _ => (wanted.stderr.clone(), answer.stderr.clone()),
    };
    let mut text = format!("  $ {}\n", answer.title);
    for line in &wanted_lines {
        let mark = if lines.contains(line) { ' ' } else { '-' };
        text += &format!("  {mark} {line}\n");
    }
    for line in lines.iter().filter(|line| !wanted_lines.contains(line)) {
        text += &format!("  + {line}\n");
    }
    let is_new = |line: &&String| !wanted_lines.contains(line);
    if wanted_lines.iter().all(|line| lines.contains(line))
        && !lines.iter().any(|line| is_new(&line))
    {
        text += &format!("  another order or number:\n  + {}\n", lines.join("\n  + "));
    }
    if part == "exit" {
        for line in answer.stderr.iter().take(5) {
            text += &format!("  ! {line}\n");
        }
    }
    text
}
