//! R7.2, R7.3, R7.4: a function of any component is bounded as an agent is, also in what the host makes of its values, and
//! in what reading its types may take.

use bandstand_hostile::prove;

#[tokio::test]
async fn a_function_that_never_comes_back_from_its_end_is_ended() {
    prove("function-post-return-loop").await;
}

#[tokio::test]
async fn values_that_take_more_of_the_host_than_of_the_guest_are_bounded() {
    for name in ["function-million", "function-amplified"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn values_that_are_none_are_told_apart() {
    for name in ["function-bad-case", "function-gibibyte"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn a_type_that_grows_when_it_is_written_out_is_refused() {
    prove("function-deep-type").await;
}
