//! Conversions for both sides of the component boundary, as one table.
//!
//! Shim and host generate equal types from `wit/`; [`bridge!`](crate::bridge!) converts them to the types here and
//! back.

/// Writes the conversions for the types under `$root`.
#[macro_export]
macro_rules! bridge {
    ($($root:tt)*) => {
        mod bridged {
            use $($root)* as wit;
            use $crate as logic;

            /// Conversion to the other side: moves owned values, copies borrowed ones.
            pub(crate) trait Cross<T> {
                /// Converts it.
                fn cross(self) -> T;
            }

            $crate::bridge_same!(bool u8 u16 u32 u64 i32 i64 f64 $crate::bridge::Text);

            impl<A, B> Cross<Option<B>> for Option<A> where A: Cross<B> {
                fn cross(self) -> Option<B> { self.map(Cross::cross) }
            }

            impl<A, B> Cross<$crate::bridge::List<B>> for $crate::bridge::List<A> where A: Cross<B> {
                fn cross(self) -> $crate::bridge::List<B> { self.into_iter().map(Cross::cross).collect() }
            }

            impl<'a, A, B> Cross<Option<B>> for &'a Option<A> where &'a A: Cross<B> {
                fn cross(self) -> Option<B> { self.as_ref().map(Cross::cross) }
            }

            impl<'a, A, B> Cross<$crate::bridge::List<B>> for &'a $crate::bridge::List<A> where &'a A: Cross<B> {
                fn cross(self) -> $crate::bridge::List<B> { self.iter().map(Cross::cross).collect() }
            }

            $crate::bridge_enum!(types FaultKind: ConnectionRefused ConnectionReset Dns Unreachable Tls Timeout OutOfMemory DiskFull
                TooManyOpenFiles PermissionDenied NotFound InUse InvalidInput HttpStatus StreamError IncompleteAnswer EmptyAnswer CutQuestion
                InvalidAnswer RejectedResult Cancelled CircuitOpen BulkheadFull Panicked Other);
            $crate::bridge_enum!(types Endpoint: Chat Generate Embed Show Tags Ps Pull Version Manage Openai Tool Store Other);
            $crate::bridge_enum!(types ErrorCategory: Transient Permanent Resource Connection Timeout Unknown);
            $crate::bridge_enum!(types ErrorSeverity: Low Medium High Critical);
            $crate::bridge_enum!(types SuggestedAction: CheckService IncreaseTimeout UseSmallerModel FreeDisk RaiseOpenFilesLimit PullModel
                RepullModel Wait UseFallback Retry Resample FixInput ShortenPrompt UseCapableModel SignIn UseAnotherModel RaiseWindow
                RaiseAnswerLength RepairServer FixAddress FixPermissions FixHostHeader
                UpgradeServer Nothing LogAndContinue);
            $crate::bridge_record!(types ErrorLabels: error_type error_code);
            $crate::bridge_record!(types Fact: name value);
            $crate::bridge_variant!(types FactValue: Flag(truth), Whole(number), Number(number), Text(text));
            $crate::bridge_record!(types Fault: kind status errno endpoint message labels retry_after should_retry points_to);
            $crate::bridge_record!(types Classification: category severity retryable retry_limit counted model_specific host_specific action rule);

            $crate::bridge_record!(metadata Description: name version state_layout);

            $crate::bridge_record!(backoff JitterRange: low high);
            $crate::bridge_record!(backoff RetryConfig: max_retries base_delay max_delay backoff_factor jitter jitter_range
                jitter_may_exceed_max);

            $crate::bridge_enum!(breaker Phase: Closed Open HalfOpen);
            $crate::bridge_record!(breaker BreakerConfig: failure_threshold recovery_timeout success_threshold half_open_permits
                failure_window failure_rate_threshold minimum_calls slow_call_duration slow_call_rate_threshold);
            $crate::bridge_record!(breaker BreakerState: phase consecutive_failures half_open_successes since generation memory);
            $crate::bridge_variant!(breaker Admission: All, NoneUntil(instant), Probes(permits));
            $crate::bridge_variant!(breaker Event: Elapsed, Success(generation), Failure(generation), Ignored(generation));
            $crate::bridge_record!(breaker Observation: event now successes took);
            $crate::bridge_record!(breaker Transition: state admission);

            $crate::bridge_variant!(degradation WorkflowValue: Null, Boolean(truth), Number(number), Text(text), Items(count), Nested);
            $crate::bridge_record!(degradation WorkflowEntry: key value);
            $crate::bridge_variant!(degradation WorkflowChange: Drop, Set(number), Truncate(count));
            $crate::bridge_record!(degradation WorkflowEdit: entry change);

            $crate::bridge_record!(health ResourceSnapshot: memory_total_bytes memory_available_bytes disk_total_bytes
                disk_available_bytes cpu_percent);
            $crate::bridge_record!(health ResourceThresholds: memory_percent disk_percent disk_free_bytes cpu_percent);
            $crate::bridge_enum!(health ResourceName: Memory Disk Cpu);
            $crate::bridge_enum!(health FindingLevel: Fine Warning Unhealthy Unread);
            $crate::bridge_record!(health Finding: resource level percent);
            $crate::bridge_record!(health Judgement: healthy findings);

            $crate::bridge_enum!(settings Profile: Standard Quick Slow VerySlow Network Local Database ExternalApi);
            $crate::bridge_record!(settings Recommendation: retry breaker attempt_timeout total_deadline);

            $crate::bridge_record!(recovery Guard: config state generation successes took);
            $crate::bridge_record!(recovery ModelFacts: window loaded_window size_bytes tools images thinking);
            $crate::bridge_record!(recovery ModelChoice: current chain known);
            $crate::bridge_record!(recovery HostFacts: has_model same_digest loaded_window breaker outstanding failed);
            $crate::bridge_record!(recovery HostChoice: current hosts);
            $crate::bridge_enum!(recovery ClientProtocol: Direct OllamaChat OllamaGenerate OllamaEmbed OpenaiChat OpenaiCompletions
                OpenaiResponses OpenaiEmbeddings AnthropicMessages Other);
            $crate::bridge_record!(recovery RequestFacts: protocol streamed tools format thinking images seed_fixed temperature allows_empty);
            $crate::bridge_enum!(recovery MemoryOwner: ThisMachine OtherMachine Unknown);
            $crate::bridge_record!(recovery WindowFacts: needed estimated answer_length asked fixed loaded model_limit caller_limit memory
                memory_available bytes_per_token reading_speed load_time);
            $crate::bridge_enum!(recovery ExchangeVerdict: Failed Cut Empty UsedUpLength Repetition QuestionCut Whole);
            $crate::bridge_record!(recovery ExchangeFacts: verdict delivered_text delivered_thinking delivered_tool_calls thinking
                prompt_tokens answer_tokens);
            $crate::bridge_record!(recovery Rescue: replay prefill restart);
            $crate::bridge_record!(recovery PastAttempt: model host category rule took);
            $crate::bridge_record!(recovery CachedAnswer: age max_age);
            $crate::bridge_record!(recovery AtHand: fallback cached checkpoint can_simplify);
            $crate::bridge_record!(recovery Circumstances: hosts request window exchange rescue history more);
            $crate::bridge_record!(recovery Incident: failure attempt elapsed deadline idempotent retry_budget retry random now guard models at_hand
                resources circumstances);
            $crate::bridge_variant!(recovery Directive: RetryAfter(delay), AskAgain, SwitchModel(index), SwitchHost(index),
                EnlargeWindow(tokens), Replay(index), ContinueAnswer(index), RestartAnswer(index), Accept, Simplify, ServeCached, UseFallback, GiveUp);
            $crate::bridge_enum!(recovery Reason: Retryable NotRetryable ModelUnsuitable HostUnsuitable WindowTooSmall AnswerUnusable AnswerCut
                AttemptsExhausted BudgetExhausted DeadlineExceeded
                RetryAfterTooLong CircuitOpen NotIdempotent Cancelled);
            $crate::bridge_record!(recovery Verdict: classification breaker directive reason more);
        }
        pub(crate) use bridged::Cross;
    };
}

/// Text type of both sides.
pub type Text = alloc::string::String;
/// List type of both sides.
pub type List<T> = alloc::vec::Vec<T>;

/// Types equal on both sides.
#[doc(hidden)]
#[macro_export]
macro_rules! bridge_same {
    ($($same:ty)*) => { $(
        impl Cross<$same> for $same { fn cross(self) -> $same { self } }
        impl Cross<$same> for &$same { fn cross(self) -> $same { self.clone() } }
    )* };
}

/// Enum without payloads.
#[doc(hidden)]
#[macro_export]
macro_rules! bridge_enum {
    ($module:ident $name:ident: $($case:ident)*) => {
        impl Cross<logic::$module::$name> for wit::$module::$name {
            fn cross(self) -> logic::$module::$name { match self { $( Self::$case => logic::$module::$name::$case, )* } }
        }
        impl Cross<wit::$module::$name> for logic::$module::$name {
            fn cross(self) -> wit::$module::$name { match self { $( Self::$case => wit::$module::$name::$case, )* } }
        }
        impl Cross<wit::$module::$name> for &logic::$module::$name {
            fn cross(self) -> wit::$module::$name { (*self).cross() }
        }
    };
}

/// Enum with payloads.
#[doc(hidden)]
#[macro_export]
macro_rules! bridge_variant {
    ($module:ident $name:ident: $($case:ident $(($payload:ident))?),*) => {
        impl Cross<logic::$module::$name> for wit::$module::$name {
            fn cross(self) -> logic::$module::$name {
                match self { $( Self::$case $(($payload))? => logic::$module::$name::$case $(($payload.cross()))?, )* }
            }
        }
        impl Cross<wit::$module::$name> for logic::$module::$name {
            fn cross(self) -> wit::$module::$name {
                match self { $( Self::$case $(($payload))? => wit::$module::$name::$case $(($payload.cross()))?, )* }
            }
        }
        impl Cross<wit::$module::$name> for &logic::$module::$name {
            fn cross(self) -> wit::$module::$name {
                match self { $( logic::$module::$name::$case $(($payload))? => wit::$module::$name::$case $(($payload.cross()))?, )* }
            }
        }
    };
}

/// Record.
#[doc(hidden)]
#[macro_export]
macro_rules! bridge_record {
    ($module:ident $name:ident: $($field:ident)*) => {
        impl Cross<logic::$module::$name> for wit::$module::$name {
            fn cross(self) -> logic::$module::$name { logic::$module::$name { $( $field: self.$field.cross(), )* } }
        }
        impl Cross<wit::$module::$name> for logic::$module::$name {
            fn cross(self) -> wit::$module::$name { wit::$module::$name { $( $field: self.$field.cross(), )* } }
        }
        impl Cross<wit::$module::$name> for &logic::$module::$name {
            fn cross(self) -> wit::$module::$name { wit::$module::$name { $( $field: (&self.$field).cross(), )* } }
        }
    };
}
