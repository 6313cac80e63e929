//! Contents of configs and secrets that are put in place, as a table.

use super::*;
use crate::compose::model::Reload;

/// A service that is given these, of which the container has the first content of each.
fn world(given: &[(&str, &str, Reload)], change: impl FnOnce(&mut ObservedContainer)) -> World {
    let contents = given.iter().map(|(name, hash, reload)| {
        let content = Content {
            hash: (*hash).to_owned(),
            reload: reload.clone(),
        };
        ((*name).to_owned(), content)
    });
    let contents = contents.collect();
    World::new()
        .service("web", |service| service.contents = contents)
        .container("web", 1, |container| {
            let names = given.iter().map(|(name, ..)| (*name).to_owned());
            container.status.contents = names.map(|name| (name, "1".to_owned())).collect();
            change(container);
        })
}

#[test]
fn another_content_is_put_in_place_and_the_program_is_told() {
    let hup = || Reload::Signal(1);
    let exec = || {
        Reload::Exec(vec![
            "nginx".to_owned(),
            "-s".to_owned(),
            "reload".to_owned(),
        ])
    };
    let same = world(&[("config a", "1", hup())], unchanged);
    assert_snapshot!(same.plan(), @"");
    let changed = [
        ("config a", "2", hup()),
        ("config b", "1", exec()),
        ("secret c", "2", exec()),
        ("secret d", "2", hup()),
    ];
    assert_snapshot!(world(&changed, unchanged).plan(), @"  1. renew config a, secret c, secret d of container shop-web-1 and send SIGHUP, run `nginx -s reload`: it has another content now: config a, secret c, secret d");
    let restarted = [("config a", "2", hup()), ("config b", "2", Reload::Restart)];
    assert_snapshot!(world(&restarted, unchanged).plan(), @r"
      1. stop container shop-web-1 to start it again: it has another content now: config a, config b
      2. start container shop-web-1: it has another content now: config a, config b [after 1]
    ");
    // What does not run is given the contents of then when it is started; what stands still waits.
    assert_eq!(world(&changed, exited(0, 60)).plan(), "");
    let paused = |container: &mut ObservedContainer| {
        container.phase = Phase::Paused {
            pid: 1,
            started_at: at(20),
        };
    };
    assert_eq!(world(&changed, paused).plan(), "");
}
