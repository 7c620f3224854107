//! The network as tests see it off wasm: a function of the test's own answers this thread's requests.

use std::cell::RefCell;

use crate::{Error, Request, Response};

type Answer = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

thread_local! {
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

/// Lets `answer` answer every request of this thread from now on.
pub fn answer(answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    ANSWER.with_borrow_mut(|place| *place = Some(Box::new(answer)));
}

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    ANSWER.with_borrow_mut(|answer| match answer {
        Some(answer) => answer(request),
        None => Err(Error {
            code: "http-request-denied".to_owned(),
            message: "nobody answers in this test".to_owned(),
            is_transient: false,
        }),
    })
}
