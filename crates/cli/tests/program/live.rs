//! What changes while three servers run: whom they know, the terms of data sets, and what they note of each other's logs.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use shamisen_service::api::data::DataSetInfo;
use shamisen_service::api::{Contact, WhoAmI};
use shamisen_service::keys;
use shamisen_service::terms_change::{SignedTerms, TermsChange};
use tokio::time::sleep;

use crate::data_sets::{by, put, started, terms};
use crate::support::{LIMIT, output, signal, succeed, table, text};
use crate::three::Three;

/// Waits until something is so.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Lets a server read its configuration again, and waits until its log says so often that it has.
fn reload(three: &Three, party: usize, said: &str, times: usize) {
    signal("HUP", three.running[party].as_ref().unwrap().id());
    until(said, || three.log(party).matches(said).count() == times);
}

#[tokio::test]
async fn people_come_and_go_without_a_new_start() {
    let three = started();
    let late = keys::create(&three.place.path("late"), "late").unwrap().fingerprint();
    let good = fs::read_to_string(three.config(0)).unwrap();
    let person = format!("[[person]]\nname = \"latecomer\"\nrole = \"analyst\"\nfingerprint = \"{late}\"\n");
    let whoami = async |key: &str| three.client(0, Some(key)).await.get::<WhoAmI>("/v1/whoami").await;
    assert!(whoami("late").await.unwrap_err().to_string().contains("does not know the key"));
    let with_person = format!("{good}{person}");
    fs::write(three.config(0), &with_person).unwrap();
    reload(&three, 0, "the configuration was taken up", 1);
    assert_eq!(whoami("late").await.unwrap().name, "latecomer");

    // A file that makes no sense changes nothing.
    for broken in
        [with_person.replace("latecomer", ""), with_person.replace("party = 0", "party = 9"), String::new()]
    {
        fs::write(three.config(0), broken).unwrap();
        let before = three.log(0).matches("stays as it was").count();
        reload(&three, 0, "stays as it was", before + 1);
        assert_eq!(whoami("late").await.unwrap().name, "latecomer");
    }
    assert!(three.log(0).contains("\"\" is no name: it is empty"), "{}", three.log(0));

    // Whoever is removed is a stranger on an open connection, too. What a server cannot change is said.
    let mut open = three.client(0, Some("late")).await;
    assert!(open.get::<WhoAmI>("/v1/whoami").await.is_ok());
    fs::write(three.config(0), good.replace("lanes = 1", "lanes = 2")).unwrap();
    reload(&three, 0, "the configuration was taken up", 2);
    assert!(
        open.get::<WhoAmI>("/v1/whoami").await.unwrap_err().to_string().contains("does not know the key")
    );
    assert!(three.log(0).contains("what changed in limits is taken up when the server is started again"));

    // A peer at another address is called there.
    let elsewhere = good.replace(&format!("127.0.0.1:{}", three.ports[1]), "127.0.0.1:9");
    fs::write(three.config(0), elsewhere).unwrap();
    reload(&three, 0, "the configuration was taken up", 3);
    let contact = async || {
        let contacts: Vec<Contact> = three.client(0, Some("owner")).await.get("/v1/contacts").await.unwrap();
        contacts.into_iter().find(|contact| contact.server == 1).unwrap()
    };
    let start = Instant::now();
    while contact().await.problem.is_none_or(|problem| !problem.contains("127.0.0.1:9 cannot be reached")) {
        assert!(start.elapsed() < LIMIT, "the peer is not called at its new address");
        sleep(Duration::from_millis(100)).await;
    }
    let audit = fs::read_to_string(three.place.path("data0/audit.log")).unwrap();
    for part in ["config.added", "config.removed", "config.changed", "latecomer, analyst"] {
        assert!(audit.contains(part), "{part} is not in {audit}");
    }
}

#[tokio::test]
async fn an_owner_changes_terms_at_all_three() {
    let three = started();
    let csv = three.place.write("table.csv", table(300));
    terms(&three, "outputs = [\"metrics\", \"predictions\"]\n");
    succeed(&mut put(&three, &csv, "clinic"));
    let submit = |epochs: &str| {
        output(&mut three.analyst(&format!("submit --data clinic --hidden 4 --epochs {epochs} --outputs metrics,predictions --name m{epochs} --watch")))
    };
    assert!(text(&submit("7").stderr).contains("the rule `max_epochs` forbids it"));
    let path = three.place.path("terms.toml");
    let set = |key: &str| output(&mut by(&three, key, &["terms", "clinic", "--set", path.to_str().unwrap()]));
    let old = fs::read_to_string(&path).unwrap();
    fs::write(&path, old.replace("max_epochs = 5", "max_epochs = 7")).unwrap();
    for key in ["neighbour", "analyst", "operator"] {
        assert_ne!(set(key).status.code(), Some(0), "{key}");
    }
    let done = set("owner");
    let shown = text(&done.stdout);
    assert!(
        done.status.success() && shown.contains("7 of a training") && shown.contains("1 times"),
        "{shown}"
    );
    let trained = submit("7");
    assert!(trained.status.success(), "{}", text(&trained.stderr));

    // Who is not named any more sees nothing, and gets no predictions of what was trained before.
    let predict = || output(&mut three.analyst(&format!("predict --model m7 --data {}", csv.display())));
    assert!(predict().status.success());
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace(", \"predictions\"", "")).unwrap();
    assert!(set("owner").status.success());
    let refused = predict();
    assert!(!refused.status.success(), "{}", text(&refused.stdout));

    // An earlier change is not taken again, nor one of somebody else, nor one for another data set.
    let mut owner = three.client(0, Some("owner")).await;
    let info: DataSetInfo = owner.get("/v1/datasets/clinic").await.unwrap();
    let identity = |key: &str| keys::read(&three.place.path(key)).unwrap();
    let place = format!("/v1/datasets/{}/terms", info.id);
    let change = TermsChange { dataset: info.id.clone(), revision: 1, terms: info.terms.clone() };
    let other = TermsChange { dataset: "0".repeat(32), revision: 9, ..change.clone() };
    for (change, signer, part) in [
        (&change, "owner", "change 2 was made already"),
        (&TermsChange { revision: 9, ..change.clone() }, "neighbour", "are signed by"),
        (&other, "owner", "for another data set"),
    ] {
        let signed = SignedTerms::sign(change, &identity(signer)).unwrap();
        let refused = owner.put_json::<_, DataSetInfo>(&place, &signed).await.unwrap_err().to_string();
        assert!(refused.contains(part), "{refused}");
    }

    // A server that alone has new terms is said to; the next change makes them one again.
    let alone = SignedTerms::sign(&TermsChange { revision: 3, ..change }, &identity("owner")).unwrap();
    owner.put_json::<_, DataSetInfo>(&place, &alone).await.unwrap();
    let shown = output(&mut by(&three, "owner", &["terms", "clinic"]));
    let message = text(&shown.stderr);
    assert!(
        message.contains("server 0 has change 3, server 1 has change 2") && message.contains("hint: "),
        "{message}"
    );
    assert!(text(&set("owner").stdout).contains("4 times"));
    for party in 0..3 {
        let audit = fs::read_to_string(three.place.path(&format!("data{party}/audit.log"))).unwrap();
        assert!(audit.matches("terms.changed").count() >= 3, "{audit}");
    }
}

#[tokio::test]
async fn a_log_that_was_cut_is_noticed_by_the_others() {
    let mut three = started();
    let csv = three.place.write("table.csv", table(200));
    terms(&three, "");
    succeed(&mut put(&three, &csv, "clinic"));
    // Server 1 notes the end of the log of server 0, by itself when it starts.
    three.stop(1);
    three.start(1);
    let contacts = async |three: &Three| -> Vec<Contact> {
        three.client(1, Some("analyst")).await.get("/v1/contacts").await.unwrap()
    };
    let start = Instant::now();
    let noted = loop {
        let found = contacts(&three).await.into_iter().find(|contact| contact.server == 0);
        if let Some(noted) = found.and_then(|contact| contact.noted) {
            break noted;
        }
        assert!(start.elapsed() < LIMIT, "server 1 does not note the log of server 0");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(noted.end.seq > 0);
    let found = succeed(&mut by(&three, "analyst", &["audit", "verify"]));
    assert!(found.contains("the others have noted it up to entry"), "{found}");

    three.stop(0);
    let log = three.place.path("data0/audit.log");
    let whole = fs::read_to_string(&log).unwrap();
    let cut: Vec<&str> = whole.lines().take(noted.end.seq as usize - 1).collect();
    fs::write(&log, cut.join("\n") + "\n").unwrap();
    three.start(0);
    three.stop(1);
    three.start(1);
    let start = Instant::now();
    while contacts(&three).await.iter().all(|contact| contact.contradiction.is_none()) {
        assert!(start.elapsed() < LIMIT, "server 1 does not notice that the log of server 0 was cut");
        sleep(Duration::from_millis(50)).await;
    }
    let audit = fs::read_to_string(three.place.path("data1/audit.log")).unwrap();
    assert!(audit.contains("audit.contradiction") && audit.contains("the audit log of server 0 was changed"));
    assert!(three.log(1).contains("the audit log of server 0 was changed"), "{}", three.log(1));
    let found = output(&mut by(&three, "analyst", &["audit", "verify"]));
    assert_eq!(found.status.code(), Some(2));
    let found = text(&found.stdout);
    assert!(
        found.contains("server 0 has cut its log") || found.contains("server 0 has changed its log"),
        "{found}"
    );
}
