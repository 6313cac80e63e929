//! What people see when a stack file is wrong.

use std::fmt::Write as _;

use super::try_load;
use crate::compose::diagnostic::Color;

/// Loads files and shows what is wrong, errors or warnings.
fn show_files(files: &[(&str, &str)]) -> String {
    let mut shown = String::new();
    let problems = match try_load(files) {
        Ok(loaded) => {
            shown += &loaded.warnings.render(Color::Never, 100);
            loaded.review(Vec::new(), &|_| true)
        }
        Err(problems) => problems,
    };
    // A blank first line keeps the margin of an inline snapshot.
    write!(shown, "{}", problems.render(Color::Never, 100)).unwrap();
    shown
}

fn show(text: &str) -> String {
    show_files(&[("stack.yaml", text)])
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "services:
  web:
    image: nginx
    enviroment:
      A: 1
    ports: [\"80:http\", 99999]
    privileged: maybe
    depends_on: [dp]
  db:
    restart: allways
    stop_grace_period: 10
    networks: [bakc]
networks:
  back: {}
";
    insta::assert_snapshot!(show(text), @r#"
error: there is no key `enviroment` in `services.web`
 --> stack.yaml:4:5
  |
4 |     enviroment:
  |     ^^^^^^^^^^ unknown key
  |
  = help: did you mean `environment`?

error: `services.web.ports[0]` is not a port: `80:http`: `http` is not a port: ports are numbers from 1 to 65535
 --> stack.yaml:6:13
  |
6 |     ports: ["80:http", 99999]
  |             ^^^^^^^^^
  |
  = help: a port is written `[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`, as in `8080:80`

error: `services.web.ports[1]` is not a port: `99999`: `99999` is not a port: ports are numbers from 1 to 65535
 --> stack.yaml:6:24
  |
6 |     ports: ["80:http", 99999]
  |                        ^^^^^
  |
  = help: a port is written `[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`, as in `8080:80`

error: `services.web.privileged` must be true or false, not `maybe`
 --> stack.yaml:7:17
  |
7 |     privileged: maybe
  |                 ^^^^^

error: `web` depends on `dp`, but there is no such service
 --> stack.yaml:8:18
  |
8 |     depends_on: [dp]
  |                  ^^
  |
  = help: did you mean `db`?

error: `services.db.stop_grace_period` is not a duration: `10`: `10` has no unit
  --> stack.yaml:11:24
   |
11 |     stop_grace_period: 10
   |                        ^^
   |
   = help: add a unit: `10s`

error: there is no network `bakc`
  --> stack.yaml:12:16
   |
12 |     networks: [bakc]
   |                ^^^^
   |
   = help: did you mean `back`?
"#);
}

#[test]
fn a_circle_shows_its_way() {
    let text = "services:
  a: {image: a, depends_on: [b]}
  b: {image: a, depends_on: [c]}
  c: {image: a, depends_on: [a]}
";
    insta::assert_snapshot!(show(text), @r"
    error: services depend on each other in a circle: a -> b -> c -> a
     --> stack.yaml:4:30
      |
    4 |   c: {image: a, depends_on: [a]}
      |                              ^ closes the circle
    ");
}

#[test]
fn twice_the_same_key_shows_both() {
    insta::assert_snapshot!(show("services:\n  a:\n    image: a\n    image: b\n"), @r"
    error: the key `image` is given twice
     --> stack.yaml:4:5
      |
    3 |     image: a
      |     ----- first given here
    4 |     image: b
      |     ^^^^^
    ");
}

#[test]
fn yaml_that_cannot_be_read_says_where() {
    insta::assert_snapshot!(show("services:\n  a:\n\timage: a\n"), @r"
    error: the YAML cannot be read: tabs disallowed within this context (block indentation)
     --> stack.yaml:3:2
      |
    3 |     image: a
      |     ^
      |
      = help: YAML is indented with spaces; this line starts with a tab
    ");
    insta::assert_snapshot!(show("services: {a: {image: a}\n"), @r"
    error: the YAML cannot be read: unclosed bracket '{'
     --> stack.yaml:1:11
      |
    1 | services: {a: {image: a}
      |           ^
    ");
    insta::assert_snapshot!(show("services: {a: {image: *nope}}\n"), @r"
    error: there is no anchor `&nope` before this
     --> stack.yaml:1:23
      |
    1 | services: {a: {image: *nope}}
      |                       ^^^^^
    ");
}

#[test]
fn variables_are_told_with_their_place() {
    let text = "services:
  web:
    image: nginx:${TAG}
    labels:
      a: ${MUST:?set it}
      b: \"x ${BAD!} y\"
";
    insta::assert_snapshot!(show(text), @r#"
    warning: The "TAG" variable is not set. Defaulting to a blank string.
     --> stack.yaml:3:18
      |
    3 |     image: nginx:${TAG}
      |                  ^^^^^^ becomes an empty text
      |
      = help: set it in the environment or in `.env`, or give a default: `${TAG:-value}`

    error: the variable `MUST` is required: set it
     --> stack.yaml:5:10
      |
    5 |       a: ${MUST:?set it}
      |          ^^^^^^^^^^^^^^^
      |
      = help: set it in the environment or in `.env`

    error: `${BAD!}` is not a variable reference
     --> stack.yaml:6:13
      |
    6 |       b: "x ${BAD!} y"
      |             ^^^^^^^
      |
      = help: write `${NAME}`, or `$$` for a dollar sign that is to stay
    "#);
}

#[test]
fn clashes_between_services_show_both() {
    let text = "services:
  a: {image: a, ports: [\"8080:80\"], container_name: same, deploy: {replicas: 2}}
  b: {image: a, ports: [\"127.0.0.1:8080:81\"], container_name: same, cpus: 1}
  c: {image: a, network_mode: host, networks: [default], mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}
  d: {image: a, volumes: [data:/x, ./b:x], tmpfs: /x}
";
    insta::assert_snapshot!(show(text), @r#"
    error: 2 containers of `a` cannot all be called `same`
     --> stack.yaml:2:53
      |
    2 |   a: {image: a, ports: ["8080:80"], container_name: same, deploy: {replicas: 2}}
      |                                                     ^^^^                     - more than one
      |
      = help: take `container_name` out

    error: two containers are called `same`
     --> stack.yaml:3:63
      |
    2 |   a: {image: a, ports: ["8080:80"], container_name: same, deploy: {replicas: 2}}
      |                                                     ---- the first
    3 |   b: {image: a, ports: ["127.0.0.1:8080:81"], container_name: same, cpus: 1}
      |                                                               ^^^^

    error: `c` has both `network_mode` and `networks`
     --> stack.yaml:4:31
      |
    4 |   c: {image: a, network_mode: host, networks: [default], mem_limit: 1g, deploy: {resources: {...
      |                               ^^^^             ------- the networks
      |
      = help: keep one of them

    error: `mem_limit` and `deploy.resources.limits.memory` of `c` differ
     --> stack.yaml:4:111
      |
    4 | ... [default], mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}
      |                           -- `mem_limit`                            ^^
      |
      = help: keep one of them

    error: there is no volume `data`
     --> stack.yaml:5:27
      |
    5 |   d: {image: a, volumes: [data:/x, ./b:x], tmpfs: /x}
      |                           ^^^^^^^
      |
      = help: add `data:` to the top-level `volumes:`

    error: two things are mounted at `/x`
     --> stack.yaml:5:27
      |
    5 |   d: {image: a, volumes: [data:/x, ./b:x], tmpfs: /x}
      |                           ^^^^^^^                 -- the first
    "#);
}

#[test]
fn a_mistake_in_another_file_is_told_there() {
    let main = "services:\n  a: {image: a, env_file: [a.env, none.env]}\n";
    let files = [
        ("stack.yaml", main),
        ("stack.override.yaml", "services:\n  a: {imagee: b}\n"),
        ("a.env", "A=1\nB C=2\n"),
    ];
    insta::assert_snapshot!(show_files(&files), @r"
    error: the file /p/none.env cannot be read: entity not found
     --> stack.yaml:2:35
      |
    2 |   a: {image: a, env_file: [a.env, none.env]}
      |                                   ^^^^^^^^
      |
      = help: make the file; one that may be missing is written `{path: FILE, required: false}`

    error: there is no key `imagee` in `services.a`
     --> stack.override.yaml:2:7
      |
    2 |   a: {imagee: b}
      |       ^^^^^^ unknown key
      |
      = help: did you mean `image`?

    error: `B C` is not a variable name
     --> a.env:2:1
      |
    2 | B C=2
      | ^^^
    ");
}

#[test]
fn nothing_to_load_says_what_to_do() {
    insta::assert_snapshot!(show_files(&[]), @r"
    error: no configuration file provided: not found in /p or above
     |
     = help: write a `stack.yaml` or `compose.yaml`, or name a file with `-f FILE`
    ");
    insta::assert_snapshot!(show(""), @r"
    error: the stack file stack.yaml is empty
     |
     = help: it needs at least `services:` with one service
    ");
    insta::assert_snapshot!(show("- a\n"), @r"
    error: a stack file is a mapping, not a list
     --> stack.yaml:1:1
      |
    1 | - a
      | ^^^
    ");
    insta::assert_snapshot!(show("web:\n  image: nginx\n"), @r"
    error: there is no key `web` at the top of a stack file
     --> stack.yaml:1:1
      |
    1 | web:
      | ^^^ unknown key
      |
      = help: put the service `web` under `services:`
    ");
}
