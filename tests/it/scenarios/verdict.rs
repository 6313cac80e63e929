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

/// What is wrong with the answers of a scenario: for people; nothing when all is as expected.
pub(super) fn judge(
    name: &str,
    steps: &[Step],
    answers: &[Answer],
    expected: &Expected<'_>,
) -> Vec<String> {
    let titles: Vec<_> = steps.iter().map(Step::title).collect();
    let recorded: Vec<_> = expected.docker.iter().map(|answer| &answer.title).collect();
    if !titles.iter().eq(recorded) {
        return vec![format!(
            "{name}: `expected` is about other commands than `scenario`: run generate.sh {name}"
        )];
    }
    let mut problems = Vec::new();
    let mut own = expected.ours.iter();
    let mut different = BTreeSet::new();
    for (index, ((step, answer), docker)) in
        steps.iter().zip(answers).zip(expected.docker).enumerate()
    {
        let wanted = match step.differs {
            Some(_) if answer == docker => {
                problems.push(format!(
                    "{name}:{}: no longer differs; take the mark away: $ {}",
                    index + 1,
                    answer.title
                ));
                own.next();
                continue;
            }
            Some(_) => own.next().filter(|own| own.title == answer.title),
            None => Some(docker),
        };
        let Some(wanted) = wanted else {
            problems.push(format!(
                "{name}:{}: `ours` has no answer to $ {}\n{}",
                index + 1,
                answer.title,
                transcript::print([answer])
            ));
            continue;
        };
        for part in parts(answer, wanted) {
            let place = format!("{name}:{}:{part}", index + 1);
            if !expected.not_yet.contains_key(&place) {
                problems.push(format!("{place}\n{}", difference(part, answer, wanted)));
            }
            different.insert(place);
        }
    }
    problems.extend(stale(name, &different, expected.not_yet));
    problems
}

/// Lines of the list that are no longer true.
fn stale(
    name: &str,
    different: &BTreeSet<String>,
    not_yet: &BTreeMap<String, String>,
) -> Vec<String> {
    let of_this = |place: &&String| place.split(':').next() == Some(name);
    let listed = not_yet.keys().filter(of_this);
    listed
        .filter(|place| !different.contains(*place))
        .map(|place| format!("{place}: matches now; take it out of NOT_YET"))
        .collect()
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
    if part == "exit" {
        for line in answer.stderr.iter().take(5) {
            text += &format!("  ! {line}\n");
        }
    }
    text
}
