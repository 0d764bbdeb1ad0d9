"""Parts that learn: losses, backward, hooks, gradients read and written, optimisers, schedules, limits."""

from .grammar import Part

LOSSES = {
    "mean of squares": Part(step="loss = (h * h).mean()"),
    "sum": Part(step="loss = h.sum()"),
    "classes": Part(
        takes="labels=None",
        gives="labels=np.arange(shape(k)[0]) % «3|2»",
        step="loss = tg.softmax_cross_entropy(h, labels«|, label_smoothing=0.1»)",
    ),
    "a bad label at call 5": Part(
        takes="labels=None",
        gives="labels=np.arange(shape(k)[0]) % 3 + (7 if k == 5 else 0)",
        step="loss = tg.softmax_cross_entropy(h, labels)",
    ),
    "others": Part(
        step="""
        loss = «tg.mse(h, x * 0.5)|tg.huber(h, tg.ones(h.shape))|tg.mae(h, x * 0.5)|(h * w).mean()|
            tg.exp(-h * h).mean()»
        """,
    ),
    "weighted": Part(
        setup="weight# = 0.5",
        step="loss = (h * h).mean() * weight#",
        between="weight# = «3.0|weight# * 0.5|-0.0»",
    ),
    "a penalty": Part(step="loss = (h * h).mean() + 0.1 * sum((p * p).sum() for p in [LEARNED])"),
}

BEFORE = {
    "hook outside": Part(
        setup="s# = 2.0\nhook# = w.register_hook(lambda g: g * «2|s#|w.detach()|-1»)",
        between="«hook#.remove()|s# = 5.0|w.register_hook(lambda g: g + 1)»",
    ),
    "hook in the step": Part(
        setup="s# = 2.0\nseen# = []",
        step="«h|h|w».register_hook(lambda g: «g * 0.5|g * s#|None|seen#.append(g.shape)|g * g|seen#.append(g)»)",
        between="s# = 5.0",
    ),
    "hook added and removed in the step": Part(
        step="""
        handle = «h|w».register_hook(lambda g: g * 3)
        «handle.remove()|h = h * 1»
        """,
    ),
    "a replaced parameter": Part(
        setup="",
        between="w = tg.nn.Parameter(np.array([«1.0, 2.0, 3.0|-1.0, 0.0, k»]))",
    ),
    "frozen and thawed": Part(
        between="«w.requires_grad = not w.requires_grad|w.requires_grad = False|w.requires_grad = k % 2 == 1»",
    ),
    "changed from outside": Part(
        between="""
        w.«data = np.array([3.0, 2.0, 1.0])|data = w.data * 0.5|numpy()[0] = 7.0|grad = None|zero_grad()|
            data = w.data.astype('float32')|grad = np.ones(3)|name = 'w'»
        """,
    ),
    "cleared first": Part(step="«w.zero_grad()|w.grad = None|for p in [LEARNED]: p.zero_grad()»"),
    "a hook that computes": Part(
        setup="""
        @compile
        def inner#(g):
            return g * 2

        hook# = w.register_hook(lambda g: «inner#(g)|tg.tanh(g)|g + g.sum()|tg.checkpoint(tg.tanh)(g)»)
        """,
    ),
    "another compiled step between": Part(
        setup="""
        seen# = []

        @compile
        def other#(z):
            «with tg.no_grad():
                w.data = w * 0.5|w.zero_grad()|(w * z).sum().backward()|pass»
            return (z * w).sum().detach()
        """,
        between="if True:\n    seen#.append(other#(array(k, 2, 3)))",
    ),
    "a hook that raises": Part(
        setup="""
        s# = [0]

        def hook#(g):
            if s#[0]:
                raise ValueError('in a hook')

        «w.register_hook(hook#)|pass»
        """,
        step="h.register_hook(hook#)",
        between="s#[0] = 1 - s#[0]",
    ),
    "copied": Part(
        setup="import copy",
        between="w = copy.«deepcopy(w)|copy(w)»",
    ),
    "retained": Part(step="h = h * 1\nh.retain_grad()\nkept = h", result="kept.grad"),
}

BACKWARD = {
    "cleared": Part(step="w.zero_grad()\nloss.backward()"),
    "accumulated": Part(step="loss.backward()"),
    "cleared after": Part(step="loss.backward()\ng = w.grad\nw.grad = None", result="g"),
    "set to none": Part(step="w.grad = None\nloss.backward()"),
    "twice": Part(step="w.zero_grad()\nloss.backward(retain_graph=True)\nloss.backward()"),
    "of a cotangent": Part(
        step="""
        w.zero_grad()
        (h * 1).backward(tg.ones(h.shape, dtype=h.dtype) * «2|x|1»)
        loss = loss.detach()
        """,
    ),
    "recorded": Part(step="w.zero_grad()\nloss.backward(create_graph=True)\n(w.grad * w.grad).sum().backward()"),
    "by grad": Part(
        step="value, g = tg.value_and_grad(lambda v: ((x * v) ** 2).mean())(w«.detach()|»)\nloss = value",
        result="g",
    ),
    "only if": Part(setup="n# = 0", step="n# += 1\nif n# «% 2|% 4 == 0|< 5»:\n    loss.backward()"),
    "step by step": Part(step="w.zero_grad()\nfor _ in loss.backward_steps():\n    pass"),
    "a failing one": Part(step="w.zero_grad()\nloss.backward()\n«loss.backward()|(loss * 1).sum().backward()»"),
}

GRADIENTS = {
    "scaled": Part(step="w.grad = w.grad * «0.5|-1|w.detach()|2.0»"),
    "set": Part(step="w.grad = «np.ones(3)|tg.ones(3)|w.detach()|w.grad|x.sum(axis=0)|w.grad.detach()»"),
    "read": Part(step="g# = w.grad", result="«g#|g# * 2|g#.sum()|g#[:1]»"),
    "read again": Part(result="w.grad, w.grad"),
    "clip the norm": Part(step="norm# = tg.optim.clip_grad_norm([LEARNED], «0.1|100.0»)", result="norm#"),
    "clip the norm, now and then": Part(
        setup="limit# = 0.1",
        step="tg.optim.clip_grad_norm([LEARNED], limit#)",
        between="limit# = «1.0|limit# * 0.5»",
    ),
    "clip values": Part(step="tg.optim.clip_grad_value([LEARNED], 0.05)"),
    "by condition": Part(step="if w.grad is «None|not None»:\n    loss = loss * 2"),
    "written in place": Part(step="w.grad.«numpy()[0] = 0.0|data = w.grad * 0.5|data *= 0.5»"),
    "kept": Part(
        setup="v# = tg.zeros(3)",
        step="""
        «with tg.no_grad():
            v# = v# * 0.9 + w.grad|v# = w.grad|v#.data = v# * 0.5 + w.grad»
        """,
    ),
}

OPTIMIZER = """\
tg.optim.«SGD([LEARNED], lr=0.1)|SGD([LEARNED], lr=0.1, momentum=0.5)|
    SGD([LEARNED], lr=0.1, momentum=0.5, nesterov=True, weight_decay=0.1)|
    Adam([LEARNED], lr=0.1, epsilon=0.01)|AdamW([LEARNED], lr=0.1, epsilon=0.01)|
    Adam([LEARNED], lr=0.1, epsilon=0.01, weight_decay=0.1)|RMSprop([LEARNED], epsilon=0.01)|
    RMSprop([LEARNED], epsilon=0.01, momentum=0.5, centered=True)|Adagrad([LEARNED], epsilon=0.01)|
    Adagrad([LEARNED], epsilon=0.01, initial=0.5, weight_decay=0.1)»"""
SCHEDULE = """\
tg.optim.«ExponentialDecay(0.1, 2, 0.5)|StepDecay(0.1, every=2, factor=0.5)|CosineDecay(0.1, steps=5)|
    PiecewiseConstant((2, 4), (0.1, 0.01, 0.2))|WarmUp(0.1, steps=3)|
    WarmUp(tg.optim.ExponentialDecay(0.1, 2, 0.5), 2)»"""

UPDATES = {
    "an optimiser": Part(setup=f"optimizer = {OPTIMIZER}", step="optimizer.step()"),
    "an optimiser that clears after": Part(
        setup=f"optimizer = {OPTIMIZER}",
        step="""
        optimizer.step()
        optimizer.zero_grad()
        """,
    ),
    "a schedule": Part(
        setup=f"optimizer = tg.optim.«SGD|RMSprop|Adagrad»([LEARNED], lr={SCHEDULE})",
        step="optimizer.step()",
        between="optimizer.lr = «0.01|0.3|tg.optim.ExponentialDecay(0.1, 2, 0.5)»",
    ),
    "a schedule of one's own": Part(
        setup="rate# = [0.1]\noptimizer = tg.optim.SGD([LEARNED], lr=lambda step: rate#[0] * 0.5 ** step)",
        step="optimizer.step()",
        between="rate#[0] = 0.3",
    ),
    "a schedule that counts": Part(
        setup="""
        class Schedule#:
            calls, rate = 0, 0.1

            def __call__(self, step):
                self.calls += «1|0»
                return self.rate / (1 + «step|self.calls»)

        schedule# = Schedule#()
        optimizer = tg.optim.«SGD|Adam»([LEARNED], lr=schedule#)
        """,
        step="optimizer.step()",
        between="schedule#.rate = 0.3",
    ),
    "an optimiser changed outside": Part(
        setup=f"optimizer = {OPTIMIZER}",
        step="optimizer.step()",
        between="""
        optimizer.«lr = 0.01|lr *= 0.5|weight_decay = 0.3|steps = 0|steps += 3|epsilon = 0.5|momentum = 0.25|
            betas = (0.5, 0.5)|nesterov = True|load_state_dict(optimizer.state_dict())|zero_grad()|params.pop()|
            rho = 0.5|step = lambda: None|state[0].clear()|lr = np.float32(0.25)»
        """,
    ),
    "an optimiser changed in the step": Part(
        setup=f"optimizer = {OPTIMIZER}",
        step="""
        optimizer.«lr *= 0.5|lr = 0.1 / (optimizer.steps + 1)|weight_decay += 0.1|lr = optimizer.lr|steps += 1|
            lr = 0.05|epsilon = 0.1»
        optimizer.step()
        """,
    ),
    "an optimiser of one's own": Part(
        setup="""
        class Own#(tg.optim.«SGD|Adam|Optimizer|RMSprop|Adagrad»):
            slots = ('velocity',)
            rate = 0.5

            def update(self, p, g, state, lr«|, *, out=None»):
                state['velocity'] = state['velocity'] * self.rate + g
                «return p - lr * state['velocity']|self.rate *= 0.9; return p - lr * state['velocity']|
            return p - lr * g / (self.steps + 1)»

        optimizer = Own#([LEARNED], lr=0.1)
        """,
        step="optimizer.step()",
        between="optimizer.rate = 0.25",
    ),
    "an optimiser with other numbers": Part(
        setup="""
        class Own#(tg.optim.SGD):
            factor = 0.5

            def «numbers(self, lr):
                return super().numbers(lr * self.factor)|begin(self):
                self.factor *= 0.5|step(self):
                super().step()
                self.factor += 1|start(self, p):
                return {name: np.ones_like(p) for name in self.slots}|kernel(self, p, g, velocity, *numbers, out=None):
                return p - 0.5 * g»

        optimizer = Own#([LEARNED], lr=0.1, momentum=0.5)
        """,
        step="optimizer.step()",
        between="optimizer.factor = 0.25",
    ),
    "Nadam": Part(
        setup="""
        class Nadam#(tg.optim.Adam):
            def update(self, p, g, state, lr«|, *, out=None»):
                m, v = state['mean'], state['square']
                m[...] = self.betas[0] * m + (1 - self.betas[0]) * g
                v[...] = self.betas[1] * v + (1 - self.betas[1]) * g * g
                return p - lr * (self.betas[0] * m + (1 - self.betas[0]) * g) / (np.sqrt(v) + 0.01)

        Nadam#.update.__module__ = «'tinygrad_conv.optim'|__name__»
        optimizer = Nadam#([LEARNED], lr=0.1)
        """,
        step="optimizer.step()",
    ),
    "two optimisers": Part(
        setup="""
        optimizer = tg.optim.SGD([LEARNED], lr=0.1)
        other = tg.optim.«Adam([w], lr=0.1, epsilon=0.01)|SGD([w], lr=0.1, momentum=0.5)»
        """,
        step="optimizer.step()\nother.step()",
    ),
    "by hand": Part(
        step="""
        with tg.no_grad():
            for p in [LEARNED]:
                if p.grad is not None:
                    p.data = «p - 0.1 * p.grad|p.data - 0.1 * p.grad.data|p * 0.9»
        """,
    ),
    "by hand, with a rate": Part(
        setup="rate# = 0.1",
        step="with tg.no_grad():\n    if w.grad is not None:\n        w.data = w - rate# * w.grad\nrate# *= «0.5|1»",
        between="rate# = 0.3",
    ),
    "every second call": Part(
        setup=f"optimizer = {OPTIMIZER}\nn# = 0",
        step="""
        n# += 1
        if n# % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()
        """,
    ),
    "two steps": Part(
        setup="optimizer = tg.optim.«SGD([LEARNED], lr=0.1)|Adam([LEARNED], lr=0.1, epsilon=0.01)»",
        step="optimizer.step()\noptimizer.zero_grad()\n(x * w).mean().backward()\noptimizer.step()",
    ),
}
