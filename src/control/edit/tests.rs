use super::*;
use crate::control::Command;
use crate::control::sample::{summary, up};

fn name(text: &str) -> ServiceName {
    ServiceName::new(text)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What is desired after an `up` at second 1 and these commands.
fn after(first: &str, commands: &[Command]) -> Desired {
    let mut desired = Desired::new("shop");
    Command::Up(Box::new(up(first))).apply(&mut desired, at(1));
    for command in commands {
        command.apply(&mut desired, at(2));
    }
    desired
}

/// The same after an edit at second 9, as text.
fn edited(mut desired: Desired, text: &str) -> String {
    let up = up(text);
    let touched = Touched::find(&desired, &up.stack, &up.services).all();
    Edit { up, touched }.apply(&mut desired, at(9));
    summary(&desired)
}

const TWO: &str = "services: {web: {image: a}, job: {image: b}}";

#[test]
fn an_edit_of_one_service_leaves_the_others_as_they_are() {
    let text = "services: {web: {image: c}, job: {image: b}}";
    assert_eq!(
        edited(after(TWO, &[]), text),
        "web Running x1 since 9; job Running x1 since 1"
    );
}

#[test]
fn the_same_file_again_changes_nothing_at_all() {
    let desired = after(TWO, &[]);
    let mut again = desired.clone();
    let (up, touched) = (up(TWO), Vec::new());
    Edit { up, touched }.apply(&mut again, at(9));
    assert_eq!(again, desired);
}

#[test]
fn what_a_person_has_stopped_stays_stopped_also_when_it_changes() {
    let stop = Command::Stop {
        services: vec![name("job")],
        timeout: None,
    };
    let text = "services: {web: {image: c}, job: {image: d}}";
    assert_eq!(
        edited(after(TWO, &[stop]), text),
        "web Running x1 since 9; job Stopped x1 since 9"
    );
}

#[test]
fn replicas_are_those_of_the_command_line_until_an_edit_says_another_number() {
    let mut scaled = up(TWO);
    scaled.scale.insert(name("web"), 3);
    let scaled = after(TWO, &[Command::Up(Box::new(scaled))]);
    for (text, expected) in [
        (TWO, "web Running x3 since 2; job Running x1 since 2"),
        (
            "services: {web: {image: a, scale: 2}, job: {image: b}}",
            "web Running x2 since 2; job Running x1 since 2",
        ),
        (
            "services: {web: {image: c}, job: {image: b}}",
            "web Running x3 since 9; job Running x1 since 2",
        ),
    ] {
        assert_eq!(edited(scaled.clone(), text), expected, "{text}");
    }
}

#[test]
fn what_an_edit_takes_out_goes_and_what_was_an_orphan_before_stays() {
    let one = "services: {web: {image: a}}";
    assert_eq!(edited(after(TWO, &[]), one), "web Running x1 since 1");
    let orphaned = after(TWO, &[Command::Up(Box::new(up(one)))]);
    assert_eq!(
        edited(orphaned.clone(), one),
        "web Running x1 since 2; job Running x1 since 1 orphan"
    );
    // It comes back by an edit, as what it was.
    assert_eq!(
        edited(orphaned, TWO),
        "web Running x1 since 2; job Running x1 since 9"
    );
}

#[test]
fn what_is_new_is_brought_up() {
    let text = "services: {web: {image: a}, job: {image: b}, new: {image: a}}";
    assert_eq!(
        edited(after(TWO, &[]), text),
        "web Running x1 since 1; job Running x1 since 1; new Running x1 since 9"
    );
}

#[test]
fn a_project_that_goes_away_is_left_to_go() {
    let down = Command::Down {
        volumes: false,
        timeout: None,
        services: Vec::new(),
    };
    let going = after(TWO, &[down]);
    let mut later = going.clone();
    let (up, touched) = (up(TWO), Vec::new());
    Edit { up, touched }.apply(&mut later, at(9));
    assert_eq!(later, going);
}

#[test]
fn what_an_edit_touches_is_told_by_kind() {
    let first = "
services:
  same: {image: a}
  changed: {image: a}
  built: {build: {context: ., args: {A: 1}}}
  gone: {image: a}
";
    let second = "
services:
  same: {image: a, depends_on: [changed]}
  changed: {image: b}
  built: {build: {context: ., args: {A: 2}}}
  new: {image: a}
";
    let up = up(second);
    let touched = Touched::find(&after(first, &[]), &up.stack, &up.services);
    let names = |list: &[ServiceName]| {
        list.iter()
            .map(ServiceName::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(&touched.added), "new");
    assert_eq!(names(&touched.changed), "changed");
    assert_eq!(names(&touched.rebuilt), "built");
    assert_eq!(names(&touched.removed), "gone");
    assert_eq!(names(&touched.all()), "new changed built gone");
    assert_eq!(touched.all().len(), 4);
}

#[test]
fn another_content_of_what_is_put_in_place_is_an_edit_that_replaces_nothing() {
    let text = |content: &str, own: &str| {
        format!(
            "services:
  web: {{image: a, configs: [c]}}
  job: {{image: b}}
configs:
  c: {{content: {content}{own}}}
"
        )
    };
    let hashes = |own: &str| {
        let of = |content| {
            let desired = after(&text(content, own), &[]);
            let web = desired.services["web"].clone();
            (web.hash.clone(), web.content_hashes())
        };
        let (first, second) = (of("one"), of("two"));
        (first.0 == second.0, first.1 == second.1)
    };
    // Whether the service's hash stays, and whether that of the contents does.
    assert_eq!(hashes(""), (false, true));
    assert_eq!(hashes(", x-stack: {reload: {signal: HUP}}"), (true, false));
    let own = ", x-stack: {reload: restart}";
    let up = up(&text("two", own));
    let touched = Touched::find(&after(&text("one", own), &[]), &up.stack, &up.services);
    assert_eq!(touched.changed, [name("web")]);
}
