//! Nothing that a guest says reaches a terminal as it was said. Each proof looks at every text of the failure; here also at
//! what an observer hears.

use bandstand_hostile::{Proven, attack, prove, request, sandbox, unsafe_text};
use bandstand_sandbox::{GuestEvent, Observer};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Heard(Mutex<Vec<GuestEvent>>);

impl Observer for Heard {
    fn event(&self, event: GuestEvent) {
        self.0.lock().expect("nobody panics with it").push(event);
    }
}

#[tokio::test]
async fn escapes_are_taken_out_of_every_text() {
    let Proven::Failed(failure) = prove("escapes").await else { panic!("it did not fail") };
    assert_eq!(failure.message, "31mredover");
    let words = failure.last_words.unwrap();
    assert_eq!(
        words,
        "31mredover\n31mredover\n[stderr]\n31mredover\n[stdout]\n31mredover\n[log]\n31mredover"
    );

    let Proven::Failed(failure) = prove("escapes-and-trap").await else { panic!("it did not fail") };
    assert_eq!(failure.backtrace.as_deref(), Some("fall\nrun"));
    assert_eq!(failure.last_words.as_deref(), Some("[stderr]\nall is lost"));
}

#[tokio::test]
async fn escapes_are_taken_out_of_what_is_heard() {
    let sandbox = sandbox(8);
    let plugin = attack("escapes").load(&sandbox).unwrap().unwrap();
    let heard = Arc::new(Heard::default());
    let mut call = request("{}");
    call.events = Some(heard.clone());
    sandbox.call(&plugin, call).await.result.unwrap_err();
    let events = heard.0.lock().unwrap();
    let [GuestEvent::Log { message, fields: Some(fields), .. }, GuestEvent::Chunk(chunk)] = &events[..]
    else {
        panic!("{events:?}")
    };
    for text in [message, fields, chunk] {
        assert_eq!(unsafe_text(text), None, "{text:?}");
    }
}

#[tokio::test]
async fn escapes_in_the_name_of_an_import_are_taken_out() {
    prove("import-of-escapes").await;
}
