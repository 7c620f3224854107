//! The walk over a syntax tree that finds mistakes and names, with their places.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr, Stmt};
use minijinja::machinery::{Token, tokenize};

use super::analysis::{Analysis, Finding, FindingKind, RenderUse, STATEMENTS};
use super::argument::Signature;
use super::catalogue::CATALOGUE;
use super::reference::{Guard, Reference, facts, path_of};
use super::scan::template_syntax;

/// Where an expression really begins: spans of nested nodes begin at their last operator.
fn start_of(expr: &Expr) -> usize {
    match expr {
        Expr::Slice(slice) => start_of(&slice.expr),
        Expr::BinOp(binary) => start_of(&binary.left),
        Expr::Compare(compare) => start_of(&compare.expr),
        Expr::IfExpr(choice) => start_of(&choice.true_expr),
        Expr::Filter(filter) => filter.expr.as_ref().map_or(filter.span().start_offset as usize, start_of),
        Expr::Test(test) => start_of(&test.expr),
        Expr::GetAttr(get) => start_of(&get.expr),
        Expr::GetItem(get) => start_of(&get.expr),
        Expr::Call(call) => start_of(&call.expr),
        Expr::UnaryOp(unary) => (unary.span().start_offset as usize).min(start_of(&unary.expr)),
        other => other.span().start_offset as usize,
    }
}

pub(super) struct Walk<'s> {
    source: &'s str,
    template: bool,
    /// Byte ranges of tokens that matter for places: `*` and opening brackets.
    tokens: Vec<(usize, bool)>,
    locals: Vec<BTreeSet<String>>,
    pub(super) analysis: Analysis,
}

impl<'s> Walk<'s> {
    pub(super) fn new(source: &'s str, template: bool) -> Walk<'s> {
        let mut walk = Walk {
            source,
            template,
            tokens: Vec::new(),
            locals: vec![BTreeSet::new()],
            analysis: Analysis::default(),
        };
        walk.tokens();
        walk
    }

    fn find(
        &mut self,
        kind: FindingKind,
        offset: usize,
        length: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.analysis.findings.push(Finding::new(kind, offset, length, message, help));
    }

    /// Operators that are wrong wherever they stand are found among the tokens, where their places are exact.
    fn tokens(&mut self) {
        let config =
            if self.template { template_syntax() } else { minijinja::syntax::SyntaxConfig::default() };
        let mut opened = true;
        for (token, span) in tokenize(self.source, !self.template, config).map_while(Result::ok) {
            let offset = span.start_offset as usize;
            match token {
                Token::Tilde => self.find(
                    FindingKind::Operator,
                    offset,
                    1,
                    "`~` is not an operator here",
                    "write a text with several `${{ }}`, or `+` between two texts",
                ),
                Token::Pow if opened => self.find(
                    FindingKind::Operator,
                    offset,
                    2,
                    "arguments cannot be taken out of an object by `**`",
                    "write each argument with its name",
                ),
                Token::Pow => {
                    self.find(
                        FindingKind::Operator,
                        offset,
                        2,
                        "`**` is not an operator here",
                        "write out the product",
                    );
                }
                Token::Mul if opened => self.find(
                    FindingKind::Operator,
                    offset,
                    1,
                    "arguments cannot be taken out of a list by `*`",
                    "write out each argument",
                ),
                Token::Mul => self.tokens.push((offset, true)),
                Token::ParenOpen => self.tokens.push((offset, false)),
                _ => {}
            }
            opened = matches!(token, Token::ParenOpen | Token::Comma);
        }
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|names| names.contains(name))
    }

    fn reference(&mut self, expr: &Expr, tested: bool, guards: &[Guard]) -> bool {
        let Some(path) = path_of(expr) else {
            return false;
        };
        if !self.is_local(path.root) {
            self.analysis.references.push(Reference {
                root: path.root.to_owned(),
                path: path.steps,
                offset: path.offset,
                length: path.end.saturating_sub(path.offset),
                tested,
                guards: guards.to_vec(),
            });
        }
        for index in path.dynamic {
            self.expr(index, guards);
        }
        true
    }

    fn all(&mut self, exprs: &[Expr], guards: &[Guard]) {
        for expr in exprs {
            self.expr(expr, guards);
        }
    }

    fn under(&mut self, expr: &Expr, guards: &[Guard], condition: &Expr, holds: bool) {
        let mut more = facts(condition, holds);
        more.retain(|guard| !self.is_local(&guard.root));
        if more.is_empty() {
            return self.expr(expr, guards);
        }
        let mut guards = guards.to_vec();
        guards.extend(more);
        self.expr(expr, &guards);
    }

    pub(super) fn expr(&mut self, expr: &Expr, guards: &[Guard]) {
        if self.reference(expr, false, guards) {
            return;
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expr(&slice.expr, guards);
                for bound in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expr(bound, guards);
                }
            }
            Expr::UnaryOp(unary) => self.expr(&unary.expr, guards),
            Expr::BinOp(binary) => self.binary(binary, guards),
            Expr::Compare(compare) => {
                self.expr(&compare.expr, guards);
                for operator in &compare.ops {
                    self.expr(&operator.expr, guards);
                }
            }
            Expr::IfExpr(choice) => {
                self.expr(&choice.test_expr, guards);
                self.under(&choice.true_expr, guards, &choice.test_expr, true);
                if let Some(other) = &choice.false_expr {
                    self.under(other, guards, &choice.test_expr, false);
                }
            }
            Expr::Filter(filter) => self.filter(filter, guards),
            Expr::Test(test) => self.test(test, guards),
            Expr::GetAttr(get) => self.expr(&get.expr, guards),
            Expr::GetItem(get) => {
                self.expr(&get.expr, guards);
                self.expr(&get.subscript_expr, guards);
            }
            Expr::Call(call) => self.call(call, guards),
            Expr::List(list) => self.all(&list.items, guards),
            Expr::Tuple(tuple) => {
                let offset = tuple.span().start_offset as usize;
                self.find(
                    FindingKind::Operator,
                    offset,
                    1,
                    "tuples are not part of the language",
                    "write a list: `[a, b]`",
                );
                self.all(&tuple.items, guards);
            }
            Expr::Map(map) => {
                for key in &map.keys {
                    if matches!(key, Expr::Const(constant) if constant.value.as_str().is_none()) {
                        let offset = start_of(key);
                        self.find(
                            FindingKind::Operator,
                            offset,
                            1,
                            "keys of an object are text",
                            "put the key in quotes",
                        );
                    }
                }
                self.all(&map.keys, guards);
                self.all(&map.values, guards);
            }
        }
    }

    fn binary(&mut self, binary: &ast::BinOp, guards: &[Guard]) {
        self.expr(&binary.left, guards);
        match binary.op {
            BinOpKind::ScAnd => return self.under(&binary.right, guards, &binary.left, true),
            BinOpKind::ScOr => return self.under(&binary.right, guards, &binary.left, false),
            BinOpKind::Mul => {
                let repeats = |side: &Expr| match side {
                    Expr::Const(constant) => constant.value.as_str().is_some(),
                    Expr::List(_) => true,
                    _ => false,
                };
                if repeats(&binary.left) || repeats(&binary.right) {
                    let right = start_of(&binary.right);
                    let operator = self.tokens.iter().rev().find(|(offset, mul)| *mul && *offset < right);
                    let offset = operator.map_or(right, |(offset, _)| *offset);
                    self.find(
                        FindingKind::Operator,
                        offset,
                        1,
                        "`*` multiplies numbers, it does not repeat text or lists",
                        "write the text or list out",
                    );
                }
            }
            _ => {}
        }
        self.expr(&binary.right, guards);
    }

    fn filter(&mut self, filter: &ast::Spanned<ast::Filter>, guards: &[Guard]) {
        let (offset, length) = (filter.span().start_offset as usize, filter.name.len());
        match CATALOGUE.filters.get(filter.name) {
            Some(signature) => {
                self.arguments(signature, &filter.args, offset, length);
                match filter.name {
                    "map" => self.named(&filter.args, 0, true),
                    "select" | "reject" => self.named(&filter.args, 0, false),
                    "selectattr" | "rejectattr" => self.named(&filter.args, 1, false),
                    _ => {}
                }
            }
            None => self.unknown_filter(filter.name, offset, length),
        }
        if let Some(value) = &filter.expr {
            let tested = matches!(filter.name, "default" | "d");
            if !tested || !self.reference(value, true, guards) {
                self.expr(value, guards);
            }
        }
        self.values_of(&filter.args, guards);
    }

    fn unknown_filter(&mut self, name: &str, offset: usize, length: usize) {
        let help = match (name, close(name, CATALOGUE.filters.keys())) {
            ("size" | "len", _) => "write `length`".to_owned(),
            ("tail" | "limit" | "take", _) => "write a slice: `value[:n]` or `value[-n:]`".to_owned(),
            (_, Some(close)) => format!("did you mean `{close}`?"),
            _ => format!("the filters are: {}", listed(CATALOGUE.filters.keys())),
        };
        self.find(FindingKind::UnknownFilter, offset, length, format!("there is no filter `{name}`"), help);
    }

    fn unknown_test(&mut self, name: &str, offset: usize, length: usize) {
        let help = match close(name, CATALOGUE.tests.keys()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("the tests are: {}", listed(CATALOGUE.tests.keys())),
        };
        self.find(FindingKind::UnknownTest, offset, length, format!("there is no test `{name}`"), help);
    }

    fn test(&mut self, test: &ast::Spanned<ast::Test>, guards: &[Guard]) {
        let (offset, length) = (test.span().start_offset as usize, test.name.len());
        match CATALOGUE.tests.get(test.name) {
            Some(signature) => self.arguments(signature, &test.args, offset, length),
            None => self.unknown_test(test.name, offset, length),
        }
        let tested = matches!(test.name, "defined" | "undefined");
        if !tested || !self.reference(&test.expr, true, guards) {
            self.expr(&test.expr, guards);
        }
        self.values_of(&test.args, guards);
    }

    /// A filter or test that is named by text among the arguments.
    fn named(&mut self, args: &[CallArg], place: usize, filter: bool) {
        let Some(CallArg::Pos(name)) = args.get(place) else {
            return;
        };
        let offset = start_of(name);
        let text = match name {
            Expr::Const(constant) => constant.value.as_str(),
            _ => None,
        };
        let Some(text) = text else {
            let what = if filter { "filter" } else { "test" };
            let length = (name.span().end_offset as usize).saturating_sub(offset);
            self.find(
                FindingKind::NotLiteral,
                offset,
                length,
                format!("the {what} is named by something that is not a literal text"),
                format!("write the name of the {what} in quotes"),
            );
            return;
        };
        let length = text.len() + 2;
        let known = if filter { CATALOGUE.filters.get(text) } else { CATALOGUE.tests.get(text) };
        match known {
            None if filter => self.unknown_filter(text, offset, length),
            None => self.unknown_test(text, offset, length),
            Some(signature) => self.arguments(signature, &args[place + 1..], offset, length),
        }
    }

    fn arguments(&mut self, signature: &Signature, args: &[CallArg], offset: usize, length: usize) {
        let places = args.iter().filter(|arg| matches!(arg, CallArg::Pos(_))).count();
        let names = args.iter().filter_map(|arg| match arg {
            CallArg::Kwarg(name, _) => Some(*name),
            _ => None,
        });
        let splat = args.iter().any(|arg| matches!(arg, CallArg::PosSplat(_) | CallArg::KwargSplat(_)));
        if splat {
            // Found among the tokens; what it would give is not known.
            return;
        }
        let mut wrong = signature.check(places, names).err();
        if wrong.is_none() && signature.name == "map" {
            let attribute = args.iter().any(|arg| matches!(arg, CallArg::Kwarg("attribute", _)));
            if attribute == (places > 0) {
                wrong = Some("`map` takes either the name of a filter or `attribute`".to_owned());
            }
        }
        if let Some(wrong) = wrong {
            self.find(
                FindingKind::Arguments,
                offset,
                length,
                wrong,
                format!("it is called as `{}`", signature.shown),
            );
        }
    }

    fn values_of(&mut self, args: &[CallArg], guards: &[Guard]) {
        for arg in args {
            match arg {
                CallArg::Pos(expr)
                | CallArg::PosSplat(expr)
                | CallArg::Kwarg(_, expr)
                | CallArg::KwargSplat(expr) => self.expr(expr, guards),
            }
        }
    }

    fn call(&mut self, call: &ast::Spanned<ast::Call>, guards: &[Guard]) {
        match &call.expr {
            Expr::Var(name) => {
                let (offset, length) = (name.span().start_offset as usize, name.id.len());
                self.function(name.id, &call.args, offset, length);
            }
            Expr::GetAttr(method) => {
                let end = method.span().end_offset as usize;
                let offset = end.saturating_sub(method.name.len());
                self.expr(&method.expr, guards);
                let help = match CATALOGUE.filters.get(method.name) {
                    Some(filter) => format!("write the filter: `value|{}`", filter.name),
                    None => match method.name {
                        "get" => "write `value[key]|default(..)`".to_owned(),
                        "strip" => "write the filter: `value|trim`".to_owned(),
                        "startswith" => "write the test: `value is startingwith(text)`".to_owned(),
                        "endswith" => "write the test: `value is endingwith(text)`".to_owned(),
                        _ => "values have no methods; a filter does what a method would".to_owned(),
                    },
                };
                let message = format!("`{}` is called as a method", method.name);
                self.find(FindingKind::MethodCall, offset, method.name.len(), message, help);
            }
            other => {
                let offset = start_of(other);
                self.expr(other, guards);
                self.find(
                    FindingKind::MethodCall,
                    offset,
                    1,
                    "a value is called",
                    "only functions and filters are called",
                );
            }
        }
        self.values_of(&call.args, guards);
    }

    fn function(&mut self, name: &str, args: &[CallArg], offset: usize, length: usize) {
        let known = CATALOGUE.functions.get(name).filter(|_| !(self.template && name == "render"));
        let Some(signature) = known else {
            let help = match name {
                "size" | "len" | "length" | "count" => "write `x|length`".to_owned(),
                "has" => "write `x is defined`".to_owned(),
                "render" => "a template sees only what it is given: render the other text first and give it"
                    .to_owned(),
                _ if CATALOGUE.filters.contains_key(name) => format!("it is a filter: write `x|{name}`"),
                _ => match close(name, CATALOGUE.functions.keys()) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => format!("the functions are: {}", listed(CATALOGUE.functions.keys())),
                },
            };
            return self.find(
                FindingKind::UnknownFunction,
                offset,
                length,
                format!("there is no function `{name}`"),
                help,
            );
        };
        self.arguments(signature, args, offset, length);
        if name == "render" {
            self.render(args, offset);
        }
    }

    fn render(&mut self, args: &[CallArg], call_offset: usize) {
        let Some(CallArg::Pos(first)) = args.first() else {
            return;
        };
        let offset = start_of(first);
        let length = (first.span().end_offset as usize).saturating_sub(offset);
        let name = match first {
            Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
            _ => None,
        };
        if name.is_none() {
            self.find(
                FindingKind::RenderName,
                offset,
                length,
                "the template is named by something that is not a literal text",
                "write the name of a template constant in quotes",
            );
        }
        let keys = match args.get(1) {
            None => Some(BTreeSet::new()),
            Some(CallArg::Pos(Expr::Map(map))) => map
                .keys
                .iter()
                .map(|key| match key {
                    Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
                    _ => None,
                })
                .collect(),
            Some(_) => None,
        };
        self.analysis.renders.push(RenderUse { name, keys, offset, length, call_offset });
    }

    fn statements(&mut self, statements: &[Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    pub(super) fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => self.expr(&emit.expr, &[]),
            Stmt::ForLoop(each) => {
                self.expr(&each.iter, &[]);
                self.locals.push(BTreeSet::new());
                self.assign(&each.target);
                if let Some(filter) = &each.filter_expr {
                    self.expr(filter, &[]);
                }
                self.local("loop");
                self.statements(&each.body);
                self.locals.pop();
                self.statements(&each.else_body);
                if each.recursive {
                    self.refuse(each.span().start_offset, "a `for` that is `recursive`");
                }
            }
            Stmt::IfCond(choice) => {
                self.expr(&choice.expr, &[]);
                self.statements(&choice.true_body);
                self.statements(&choice.false_body);
            }
            Stmt::WithBlock(with) => {
                self.locals.push(BTreeSet::new());
                for (target, value) in &with.assignments {
                    self.expr(value, &[]);
                    self.assign(target);
                }
                self.statements(&with.body);
                self.locals.pop();
            }
            Stmt::Set(set) => {
                self.expr(&set.expr, &[]);
                self.assign(&set.target);
            }
            Stmt::SetBlock(set) => {
                self.statements(&set.body);
                if let Some(filter) = &set.filter {
                    self.expr(filter, &[]);
                }
                self.assign(&set.target);
            }
            Stmt::FilterBlock(block) => {
                self.statements(&block.body);
                self.expr(&block.filter, &[]);
            }
            Stmt::AutoEscape(block) => {
                self.refuse(block.span().start_offset, "`autoescape`");
                self.statements(&block.body);
            }
            Stmt::Do(block) => self.refuse(block.span().start_offset, "`do`"),
        }
    }

    fn refuse(&mut self, offset: u32, what: &str) {
        self.find(
            FindingKind::Statement,
            offset as usize,
            1,
            format!("{what} is not a statement here"),
            STATEMENTS,
        );
    }

    fn local(&mut self, name: &str) {
        if let Some(names) = self.locals.last_mut() {
            names.insert(name.to_owned());
        }
    }

    fn assign(&mut self, target: &Expr) {
        match target {
            Expr::Var(var) => self.local(var.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            other => self.refuse(other.span().start_offset, "setting a member"),
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a &'static str>) -> String {
    names.copied().collect::<Vec<_>>().join(", ")
}

/// The known name that is written most alike, if any is close.
fn close<'a>(name: &str, known: impl Iterator<Item = &'a &'static str>) -> Option<&'static str> {
    known
        .map(|known| (distance(name, known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4 && *distance < known.len())
        .min()
        .map(|(_, known)| known)
}

/// Edits that turn one name into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
