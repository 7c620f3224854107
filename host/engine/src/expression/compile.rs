//! From syntax trees to the machine's instructions.
//!
//! Instructions hold only names of this program, and values: names of an expression become numbered slots, so that a
//! program outlives its source. Operators become calls of this module's own filters.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::Value;
use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, Stmt};
use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Span, parse};

use super::catalogue::CATALOGUE;
use super::operator::name;

/// The most different names that one expression or template can read or set.
pub(super) const NAMES_MAX: usize = 256;
/// Local ids of the machine for names it has looked up; this one means none.
const NO_LOCAL: u8 = u8::MAX;
/// The machine's own loop flag for giving the body a `loop`.
const WITH_LOOP: u8 = 1;

static SLOTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..NAMES_MAX).map(|slot| slot.to_string()).collect());

/// The slot that a name of the machine stands for.
pub(super) fn slot_of(name: &str) -> Option<usize> {
    name.parse().ok()
}

// The machine does not export how it captures text, so its own generator is asked for it once.
static CAPTURE: LazyLock<Option<Instruction<'static>>> = LazyLock::new(|| {
    let statement = parse("{% set a %}{% endset %}", "", Default::default()).ok()?;
    let mut generator = CodeGenerator::new("", "");
    generator.compile_stmt(&statement);
    let instructions = generator.finish().0;
    (0..)
        .map_while(|index| instructions.get(index))
        .find(|instruction| matches!(instruction, Instruction::BeginCapture(_)))
        .cloned()
});

/// Instructions and the names of their slots.
pub(super) struct Program {
    pub(super) instructions: Instructions<'static>,
    pub(super) names: Vec<String>,
}

/// Why a syntax tree that was found right cannot be compiled.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

pub(super) fn expression(expr: &Expr) -> Result<Program, Refused> {
    let mut generator = Generator::new();
    generator.expr(expr)?;
    Ok(generator.finish())
}

pub(super) fn template(statement: &Stmt) -> Result<Program, Refused> {
    let mut generator = Generator::new();
    generator.statement(statement)?;
    Ok(generator.finish())
}

struct Generator {
    out: Instructions<'static>,
    names: Vec<String>,
    filters: BTreeMap<&'static str, u8>,
    tests: BTreeMap<&'static str, u8>,
    span: Span,
    next: u32,
}

fn local(ids: &mut BTreeMap<&'static str, u8>, name: &'static str) -> u8 {
    // The machine keeps 50 of them.
    let next = ids.len();
    if next >= 50 && !ids.contains_key(name) {
        return NO_LOCAL;
    }
    *ids.entry(name).or_insert(next as u8)
}

impl Generator {
    fn new() -> Generator {
        Generator {
            out: Instructions::new("", ""),
            names: Vec::new(),
            filters: BTreeMap::new(),
            tests: BTreeMap::new(),
            span: Span::default(),
            next: 0,
        }
    }

    fn finish(self) -> Program {
        Program { instructions: self.out, names: self.names }
    }

    fn add(&mut self, instruction: Instruction<'static>) -> u32 {
        self.next += 1;
        self.out.add_with_span(instruction, self.span)
    }

    fn next(&self) -> u32 {
        self.next
    }

    fn land(&mut self, jump: u32) {
        let here = self.next();
        if let Some(
            Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::Iterate(target),
        ) = self.out.get_mut(jump)
        {
            *target = here;
        }
    }

    fn slot(&mut self, name: &str) -> Result<&'static str, Refused> {
        let known = self.names.iter().position(|known| known == name);
        let slot = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        SLOTS
            .get(slot)
            .map(String::as_str)
            .ok_or_else(|| Refused(format!("more than {NAMES_MAX} different names")))
    }

    fn constant(&mut self, value: impl Into<Value>) {
        self.add(Instruction::LoadConst(value.into()));
    }

    fn apply(&mut self, filter: &'static str, values: usize) {
        let id = local(&mut self.filters, filter);
        self.add(Instruction::ApplyFilter(filter, Some(values as u16), id));
    }

    /// Runs `emit` with the instructions placed at `span`.
    fn at(&mut self, span: Span, emit: impl FnOnce(&mut Self) -> Result<(), Refused>) -> Result<(), Refused> {
        let outer = std::mem::replace(&mut self.span, span);
        let result = emit(self);
        self.span = outer;
        result
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), Refused> {
        self.at(expr.span(), |this| this.expr_here(expr))
    }

    fn optional(&mut self, expr: Option<&Expr>) -> Result<(), Refused> {
        match expr {
            Some(expr) => self.expr(expr),
            None => {
                self.constant(());
                Ok(())
            }
        }
    }

    fn expr_here(&mut self, expr: &Expr) -> Result<(), Refused> {
        match expr {
            Expr::Var(var) if var.id == "loop" => {
                self.add(Instruction::Lookup("loop"));
            }
            Expr::Var(var) => {
                let slot = self.slot(var.id)?;
                self.add(Instruction::Lookup(slot));
            }
            Expr::Const(constant) => self.constant(constant.value.clone()),
            Expr::Slice(slice) => {
                self.expr(&slice.expr)?;
                self.optional(slice.start.as_ref())?;
                self.optional(slice.stop.as_ref())?;
                self.optional(slice.step.as_ref())?;
                self.apply(name::SLICE, 4);
            }
            Expr::UnaryOp(unary) => {
                self.expr(&unary.expr)?;
                match unary.op {
                    ast::UnaryOpKind::Not => {
                        self.add(Instruction::Not);
                    }
                    ast::UnaryOpKind::Neg => self.apply(name::NEG, 1),
                }
            }
            Expr::BinOp(binary) => self.binary(binary)?,
            Expr::Compare(compare) => self.compare(compare)?,
            Expr::IfExpr(choice) => {
                self.expr(&choice.test_expr)?;
                let other = self.add(Instruction::JumpIfFalse(0));
                self.expr(&choice.true_expr)?;
                let end = self.add(Instruction::Jump(0));
                self.land(other);
                match &choice.false_expr {
                    Some(expr) => self.expr(expr)?,
                    None => self.constant(Value::UNDEFINED),
                }
                self.land(end);
            }
            Expr::Filter(filter) => {
                if let Some(value) = &filter.expr {
                    self.expr(value)?;
                }
                let values = self.arguments(&filter.args)?;
                let signature = CATALOGUE.filters.get(filter.name);
                let known =
                    signature.ok_or_else(|| Refused(format!("there is no filter `{}`", filter.name)))?;
                self.apply(known.name, 1 + values);
            }
            Expr::Test(test) => {
                self.expr(&test.expr)?;
                let values = self.arguments(&test.args)?;
                let signature = CATALOGUE.tests.get(test.name);
                let known = signature.ok_or_else(|| Refused(format!("there is no test `{}`", test.name)))?;
                let id = local(&mut self.tests, known.name);
                self.add(Instruction::PerformTest(known.name, Some(1 + values as u16), id));
            }
            Expr::GetAttr(get) => {
                self.expr(&get.expr)?;
                self.constant(get.name);
                self.add(Instruction::GetItem);
            }
            Expr::GetItem(get) => {
                self.expr(&get.expr)?;
                self.expr(&get.subscript_expr)?;
                self.add(Instruction::GetItem);
            }
            Expr::Call(call) => {
                let Expr::Var(function) = &call.expr else {
                    return Err(Refused("only functions are called".to_owned()));
                };
                let signature = CATALOGUE.functions.get(function.id);
                let known =
                    signature.ok_or_else(|| Refused(format!("there is no function `{}`", function.id)))?;
                let values = self.arguments(&call.args)?;
                self.add(Instruction::CallFunction(known.name, Some(values as u16)));
            }
            Expr::List(list) => {
                for item in &list.items {
                    self.expr(item)?;
                }
                self.add(Instruction::BuildList(Some(list.items.len())));
            }
            Expr::Tuple(_) => return Err(Refused("tuples are not part of the language".to_owned())),
            Expr::Map(map) => {
                for (key, value) in map.keys.iter().zip(&map.values) {
                    self.expr(key)?;
                    self.expr(value)?;
                }
                self.add(Instruction::BuildMap(map.keys.len()));
            }
        }
        Ok(())
    }

    /// Puts arguments on the stack and gives their number; those with names are one value.
    fn arguments(&mut self, args: &[CallArg]) -> Result<usize, Refused> {
        let mut places = 0;
        let mut named = Vec::new();
        for arg in args {
            match arg {
                CallArg::Pos(value) => {
                    self.expr(value)?;
                    places += 1;
                }
                CallArg::Kwarg(key, value) => named.push((*key, value)),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                    return Err(Refused("arguments cannot be taken out of a value".to_owned()));
                }
            }
        }
        if named.is_empty() {
            return Ok(places);
        }
        let count = named.len();
        for (key, value) in named {
            self.constant(key);
            self.expr(value)?;
        }
        self.add(Instruction::BuildKwargs(count));
        Ok(places + 1)
    }

    fn binary(&mut self, binary: &ast::BinOp) -> Result<(), Refused> {
        let operator = match binary.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                self.expr(&binary.left)?;
                let end = self.add(match binary.op {
                    BinOpKind::ScAnd => Instruction::JumpIfFalseOrPop(0),
                    _ => Instruction::JumpIfTrueOrPop(0),
                });
                self.expr(&binary.right)?;
                self.land(end);
                return Ok(());
            }
            BinOpKind::Eq => name::EQ,
            BinOpKind::Ne => name::NE,
            BinOpKind::Lt => name::LT,
            BinOpKind::Lte => name::LE,
            BinOpKind::Gt => name::GT,
            BinOpKind::Gte => name::GE,
            BinOpKind::Add => name::ADD,
            BinOpKind::Sub => name::SUB,
            BinOpKind::Mul => name::MUL,
            BinOpKind::Div => name::DIV,
            BinOpKind::FloorDiv => name::FLOOR_DIV,
            BinOpKind::Rem => name::REM,
            BinOpKind::In => name::IN,
            BinOpKind::Pow | BinOpKind::Concat => {
                return Err(Refused("an operator outside of the language".to_owned()));
            }
        };
        self.expr(&binary.left)?;
        self.expr(&binary.right)?;
        self.apply(operator, 2);
        Ok(())
    }

    /// `a < b < c`: `b` is evaluated once, and `c` only if `a < b`.
    fn compare(&mut self, compare: &ast::Compare) -> Result<(), Refused> {
        self.expr(&compare.expr)?;
        let mut cleanups = Vec::new();
        for (index, step) in compare.ops.iter().enumerate() {
            let operator = match step.op {
                CompareOpKind::Eq => name::EQ,
                CompareOpKind::Ne => name::NE,
                CompareOpKind::Lt => name::LT,
                CompareOpKind::Lte => name::LE,
                CompareOpKind::Gt => name::GT,
                CompareOpKind::Gte => name::GE,
                CompareOpKind::In => name::IN,
                CompareOpKind::NotIn => "not in",
            };
            if index + 1 == compare.ops.len() {
                self.expr(&step.expr)?;
                if matches!(step.op, CompareOpKind::NotIn) {
                    self.apply(name::IN, 2);
                    self.add(Instruction::Not);
                } else {
                    self.apply(operator, 2);
                }
                break;
            }
            self.constant(operator);
            self.expr(&step.expr)?;
            self.apply(name::AND_RIGHT, 3);
            self.add(Instruction::DupTop);
            self.apply(name::RIGHT, 1);
            cleanups.push(self.add(Instruction::JumpIfFalseOrPop(0)));
            self.apply(name::LEFT, 1);
        }
        let end = self.add(Instruction::Jump(0));
        for cleanup in cleanups {
            self.land(cleanup);
        }
        self.add(Instruction::Swap);
        self.add(Instruction::DiscardTop);
        self.land(end);
        Ok(())
    }

    fn statements(&mut self, statements: &[Stmt]) -> Result<(), Refused> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt) -> Result<(), Refused> {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(raw) => self.at(raw.span(), |this| {
                this.constant(raw.raw);
                this.add(Instruction::Emit);
                Ok(())
            }),
            Stmt::EmitExpr(emit) => self.at(emit.span(), |this| {
                this.expr(&emit.expr)?;
                this.add(Instruction::Emit);
                Ok(())
            }),
            Stmt::ForLoop(each) => self.for_loop(each),
            Stmt::IfCond(choice) => {
                self.expr(&choice.expr)?;
                let other = self.add(Instruction::JumpIfFalse(0));
                self.statements(&choice.true_body)?;
                let end = self.add(Instruction::Jump(0));
                self.land(other);
                self.statements(&choice.false_body)?;
                self.land(end);
                Ok(())
            }
            Stmt::WithBlock(with) => {
                self.add(Instruction::PushWith);
                for (target, value) in &with.assignments {
                    self.expr(value)?;
                    self.assign(target)?;
                }
                self.statements(&with.body)?;
                self.add(Instruction::PopFrame);
                Ok(())
            }
            Stmt::Set(set) => {
                self.expr(&set.expr)?;
                self.assign(&set.target)
            }
            Stmt::SetBlock(set) => {
                self.capture(&set.body)?;
                if let Some(filter) = &set.filter {
                    self.expr(filter)?;
                }
                self.assign(&set.target)
            }
            Stmt::FilterBlock(block) => {
                self.capture(&block.body)?;
                self.expr(&block.filter)?;
                self.add(Instruction::Emit);
                Ok(())
            }
            Stmt::AutoEscape(_) | Stmt::Do(_) => {
                Err(Refused("a statement outside of the language".to_owned()))
            }
        }
    }

    fn capture(&mut self, body: &[Stmt]) -> Result<(), Refused> {
        let begin = CAPTURE.clone().ok_or_else(|| Refused("text cannot be captured".to_owned()))?;
        self.add(begin);
        self.statements(body)?;
        self.add(Instruction::EndCapture);
        Ok(())
    }

    fn for_loop(&mut self, each: &ast::ForLoop) -> Result<(), Refused> {
        if let Some(filter) = &each.filter_expr {
            // A loop of its own gathers the items that pass, and their number on top of them.
            self.constant(0usize);
            self.expr(&each.iter)?;
            let iterate = self.begin_loop(0);
            self.add(Instruction::DupTop);
            self.assign(&each.target)?;
            self.expr(filter)?;
            let skip = self.add(Instruction::JumpIfFalse(0));
            self.add(Instruction::Swap);
            self.constant(1usize);
            self.add(Instruction::Add);
            let end = self.add(Instruction::Jump(0));
            self.land(skip);
            self.add(Instruction::DiscardTop);
            self.land(end);
            self.end_loop(iterate, false);
            self.add(Instruction::BuildList(None));
        } else {
            self.expr(&each.iter)?;
        }
        let iterate = self.begin_loop(WITH_LOOP);
        self.assign(&each.target)?;
        self.statements(&each.body)?;
        let has_else = !each.else_body.is_empty();
        self.end_loop(iterate, has_else);
        if has_else {
            let end = self.add(Instruction::JumpIfFalse(0));
            self.statements(&each.else_body)?;
            self.land(end);
        }
        Ok(())
    }

    fn begin_loop(&mut self, flags: u8) -> u32 {
        self.add(Instruction::PushLoop(flags));
        self.add(Instruction::Iterate(0))
    }

    fn end_loop(&mut self, iterate: u32, asks_whether_it_ran: bool) {
        self.add(Instruction::Jump(iterate));
        self.land(iterate);
        if asks_whether_it_ran {
            self.add(Instruction::PushDidNotIterate);
        }
        self.add(Instruction::PopLoopFrame);
    }

    fn assign(&mut self, target: &Expr) -> Result<(), Refused> {
        match target {
            Expr::Var(var) => {
                let slot = self.slot(var.id)?;
                self.add(Instruction::StoreLocal(slot));
                Ok(())
            }
            Expr::List(list) => {
                self.add(Instruction::UnpackList(list.items.len()));
                list.items.iter().try_for_each(|item| self.assign(item))
            }
            _ => Err(Refused("only names can be set".to_owned())),
        }
    }
}
