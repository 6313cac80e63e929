//! What a person does to single containers: it holds until the service is asked for again.

use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

const WEB: &str = "
services:
  web: {image: busybox, command: sleep 1000, restart: always, deploy: {replicas: 3}}
  app: {image: busybox, command: sleep 1000, depends_on: [web]}
";

/// The states of the replicas, by number.
fn states(stack: &Stack) -> String {
    let mut rows = stack.replicas("web");
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let state = |row: crate::harness::Row| {
        let number = row.name.rsplit('-').next().map(str::to_owned);
        format!("{}:{}", number.unwrap_or_default(), row.state)
    };
    let states: Vec<String> = rows.into_iter().map(state).collect();
    states.join(" ")
}

fn id(stack: &Stack, number: u32) -> String {
    let name = stack.name("web", number);
    let mut rows = stack.replicas("web").into_iter();
    rows.find(|row| row.name == name).unwrap().id
}

/// A command of `container` answers with the name alone.
fn act(stack: &Stack, arguments: &[&str]) {
    let name = arguments.last().unwrap();
    let done = stack.stack(&[&["container"], arguments].concat());
    done.succeeds()
        .stdout_is(&format!("{name}\n"))
        .stderr_is("");
}

const ALL: &str = "1:running 2:running 3:running";

#[test]
fn one_replica_is_stopped_and_stays_so_until_its_service_is_asked_for() {
    let stack = stack!(WEB);
    stack.up();
    let two = stack.name("web", 2);
    let others = (id(&stack, 1), id(&stack, 3), stack.container("app").id);
    let stopped = "1:running 2:exited 3:running";
    act(&stack, &["stop", "-t", "0", &two]);
    assert_eq!(states(&stack), stopped);
    // `restart: always` leaves it, and so does a new supervisor.
    signal_to(stack.supervisor().unwrap(), Signal::KILL);
    let why = stack.stack(&["why", "web"]).succeeds();
    why.stdout_contains("It was stopped alone");
    stack.stack(&["up", "-d", "--no-deps", "app"]).succeeds();
    assert_eq!(states(&stack), stopped);
    stack.stack(&["start", "web"]).succeeds();
    assert_eq!(states(&stack), ALL);
    act(&stack, &["stop", "-t", "0", &two]);
    stack.up();
    assert_eq!(states(&stack), ALL);
    act(&stack, &["stop", "-t", "0", &two]);
    act(&stack, &["start", &two]);
    assert_eq!(states(&stack), ALL);
    // From now on its policy holds again.
    let pid = stack.inspect(&two)["State"]["Pid"].as_i64().unwrap();
    signal_to(i32::try_from(pid).unwrap(), Signal::KILL);
    eventually("it was started again", || {
        let now = stack.inspect(&two)["State"]["Pid"].as_i64()?;
        (now != pid && now > 0).then_some(())
    });
    assert_eq!(
        (id(&stack, 1), id(&stack, 3), stack.container("app").id),
        others
    );
    stack.down();
}

#[test]
fn one_replica_is_removed_restarted_frozen_and_started_in_a_service_that_is_stopped() {
    let stack = stack!(WEB);
    stack.up();
    let two = stack.name("web", 2);
    let others = (id(&stack, 1), id(&stack, 3));
    let of_two = id(&stack, 2);
    act(&stack, &["restart", "-t", "0", &two]);
    assert_eq!(
        (states(&stack).as_str(), id(&stack, 2)),
        (ALL, of_two.clone())
    );
    act(&stack, &["pause", &two]);
    assert_eq!(states(&stack), "1:running 2:paused 3:running");
    let again = stack.stack(&["container", "pause", &two]).fails_with(1);
    again.stderr_contains("is already paused");
    act(&stack, &["unpause", &two]);
    assert_eq!(states(&stack), ALL);
    let dry = stack.stack(&["--dry-run", "container", "kill", &two]);
    let said = format!(" Container {two} Killed ");
    dry.succeeds().stderr_contains(&said);
    assert_eq!(states(&stack), ALL);
    let running = stack.stack(&["container", "rm", &two]).fails_with(1);
    running.stderr_contains("is running");
    act(&stack, &["rm", "-f", &two]);
    assert_eq!(states(&stack), "1:running 3:running");
    stack.stack(&["restart", "-t", "0", "web"]).succeeds();
    assert_eq!(states(&stack), "1:running 3:running");
    stack.up();
    assert_eq!(states(&stack), ALL);
    assert_eq!((id(&stack, 1), id(&stack, 3)), others);
    assert_ne!(id(&stack, 2), of_two);
    stack.stack(&["stop", "-t", "0"]).succeeds();
    act(&stack, &["start", &two]);
    assert_eq!(states(&stack), "1:exited 2:running 3:exited");
    stack.down();
}

#[test]
fn what_a_person_kills_is_not_started_again_and_what_handles_a_signal_goes_on() {
    let stack = stack!(
        "services:
  web:
    image: busybox
    command: sh -c 'trap \"echo hup\" HUP; trap \"exit 0\" TERM; echo ready; while true; do sleep 0.1; done'
    restart: always
"
    );
    stack.up();
    let ready = |count| {
        eventually("it is ready", || {
            (stack.logs("web").matches("ready").count() >= count).then_some(())
        });
    };
    ready(1);
    stack.stack(&["kill", "-s", "HUP"]).succeeds();
    stack.wait_for_log("web", "hup");
    // It ends by itself afterwards: that is its policy's matter.
    let pid = stack.pid("web");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    signal_to(pid, Signal::KILL);
    ready(2);
    stack.stack(&["kill", "-s", "TERM"]).succeeds();
    let ended = stack.wait_for_state("web", "exited");
    assert_eq!(ended.exit_code, 0);
    stack.wait_for_quiet();
    assert_eq!(stack.container("web").state, "exited");
    let why = stack.stack(&["why", "web"]).succeeds();
    why.stdout_contains("It was killed");
    stack.up();
    ready(3);
    let killed = stack.stack(&["kill"]).succeeds();
    let name = stack.name("web", 1);
    killed.stderr_is(&format!(
        " Container {name} Killing \n Container {name} Killed \n"
    ));
    assert_eq!(stack.container("web").exit_code, 137);
    stack.down();
}

#[test]
fn what_run_is_attached_to_can_be_killed_from_another_terminal() {
    let stack = stack!("services: {job: {image: busybox, command: sleep 1000}}");
    let name = format!("{}-solo", stack.project());
    for kill in [
        vec!["container", "kill", name.as_str()],
        vec!["kill", "job"],
    ] {
        let run = stack.start(&["run", "--rm", "-T", "--name", &name, "job"]);
        eventually("it runs", || {
            let state = stack.stack(&["inspect", "-f", "{{.State.Status}}", &name]);
            (state.stdout == "running\n").then_some(())
        });
        stack.stack(&kill).succeeds();
        run.finish().fails_with(137);
    }
}
