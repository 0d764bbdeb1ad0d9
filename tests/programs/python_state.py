"""Parts that keep state in Python, and use it in the step: numbers, containers, objects, functions, generators.

Each says what is kept, how the step uses it, and how it changes: in the step, or between calls.
"""

from .grammar import Part

STATE = {
    "number": Part(
        setup="s# = «0.5|2|-0.0|0.0|True|float('nan')|np.float64(0.5)|np.array(0.5)|1 + 0j»",
        step="h = h «*|+» «s#|s#|-s#|(s# + 1)|np.array([s#, s#, s#]).real|float(np.real(s#))»",
        between="s# = «s# * 0.5|-s#|-0.0|3|float('nan')|float(k)|2.0»",
    ),
    "number, changed in the step": Part(
        setup="s# = «1|0.5|2.0»",
        step="""
        h = h * s#
        s# = «s# + 1|s# * 0.5|-s#|1.0|s#»
        """,
    ),
    "counter": Part(setup="n# = 0", step="n# += 1"),
    "counter that decides": Part(
        setup="n# = 0",
        step="""
        n# += 1
        if n# «== 4|% 2|> 5|% 3 == 1»:
            h = h «* 2.0|+ w|* w|- 1.0»
        """,
    ),
    "counter in the middle of a list": Part(
        setup="n# = [[0], {'calls': 0}]",
        step="""
        n#[1]["calls"] += 1
        n#[0][0] «+= 1|= n#[1]["calls"] % 3|= 1»
        h = h * n#[0][0]
        """,
    ),
    "list": Part(
        setup="s# = [0.5, 2.0]",
        result="«|s#|len(s#)|s#[0]»",
        step="h = h «* s#[0]|* len(s#)|* s#[-1]|+ sum(s#)|+ np.array(s#).sum()»",
        between="""
        «s#[0] = 3.0|s#.append(4.0)|s#[-1] = -0.0|s#.reverse()|s#.clear(); s# += [7.0]|s# = [float(k)]|
            s#[:] = [1]»
        """,
    ),
    "a loop over a list": Part(
        setup="s# = [0.5, 2.0]",
        step="""
        for factor in s#:
            h = h «* factor|+ w * factor»
        """,
        between="«s#.append(float(k))|s# = s#[1:]|s#[0] = -0.5|s# = s#[::-1]»",
    ),
    "list that the step appends to": Part(
        setup="seen# = []",
        step="seen#.append(«1|x.shape[0]|'called'|len(seen#)|x.dtype|h.detach()|h.detach().sum()|w|x»)",
        result="«|seen#|len(seen#)|seen#[-1:]»",
    ),
    "dictionary": Part(
        setup="s# = {'a': 0.5, 'b': 2.0}",
        step="""
        for name, value in s#.items():
            h = h * value «|+ len(name)»
        """,
        between="«s#['a'] = 3.0|s#['long'] = 4.0|s#.pop('a', None)|s# = {'b': 0.25}|s#['a'] = s#.pop('a', 1.0)»",
    ),
    "set": Part(
        setup="s# = {'double'}",
        step="""
        if 'double' in s#:
            h = h * 2
        """,
        between="s#.«clear()|add('double')|discard('double')»",
    ),
    "a mode by name": Part(
        setup="mode# = 'double'",
        step="h = h * 2 if mode# «== 'double'|!= 'off'|in ('double', 'on')» else h + 1",
        between="mode# = «'off'|'double'|None|mode#[::-1]»",
    ),
    "array": Part(
        setup="s# = np.array([1.0, 2.0, 3.0]«|, dtype='float32'»)",
        step="""
        h = h «*|+» «s#|s#[::-1]|s#[:1]|(s# * 2)|tg.Tensor(s#)|s#.copy()|s#.sum()|float(s#[0])|s#[0]|
            tg.exp(-s#)»
        """,
        between="s# «*= 0.5|= s# * 0.5|+= 1|= s#.astype('float32')|= s#[::-1]|= s#.copy()|= np.float64(2.0)|= 2.0»",
    ),
    "array, an item changed": Part(
        setup="s# = np.array([1.0, 2.0, 3.0])",
        step="h = h «*|+» «s#|s#[:1]|s#[1:].sum()|s#[0]|tg.Tensor(s#)|np.exp(-s#)|s#.item(1)|float(s#[1])»",
        between="s#[«0|1|:|1:»] = «-0.0|5.0|float(k)|np.nan»",
    ),
    "array, changed in the step": Part(
        setup="s# = np.array([1.0, 2.0, 3.0])",
        step="""
        «h = h * s#|s# = s# * 1»
        «s# *= 0.5|s#[0] += 1|s# = s# * 0.5|np.add(s#, 1, out=s#)|s#[:] = s#[::-1].copy()»
        «h = h * s#|h = h + 1»
        """,
    ),
    "array that keeps what was computed": Part(
        setup="s# = np.zeros(3)",
        step="""
        with tg.no_grad():
            s# «= s# * 0.5 + x.sum(axis=0)|= x.sum(axis=0)|+= x.sum(axis=0).numpy()|[:] = x.sum(axis=0)»
        h = h «+ s#|* 1»
        """,
    ),
    "tensor": Part(
        setup="s# = tg.Tensor([1.0, 2.0, 3.0])",
        step="h = h «*|+» «s#|s#[:1]|s# * 2|(s# + s#.sum())|s#.detach()»",
        between="""
        «s# = s# * 0.5|s#.data = np.ones(3) * k|s#.numpy()[0] = 9.0|s# = tg.Tensor([1.0])|
            s# = tg.Tensor(np.ones(3, 'float32'))»
        """,
    ),
    "tensor, changed in the step": Part(
        setup="s# = tg.Tensor([1.0, 2.0, 3.0])",
        step="""
        h = h * s#
        with tg.no_grad():
            s#«.data = s# * 0.5| = s# * 0.5|.data = s#.data * 0.5|.data = x.mean(axis=0)|
            = tg.Tensor(np.ones(3))|.data = h.mean(axis=0)»
        """,
    ),
    "attribute of an object": Part(
        setup="""
        class Settings#:
            rate = 0.5

        s# = Settings#()
        «s#.rate = 1.5|s#.other = 1.0|s#.inner = Settings#()»
        """,
        step="h = h * «s#.rate|getattr(s#, 'rate')|vars(s#).get('rate', 2.0)|Settings#.rate»",
        between="""
        «s#.rate = 3.0|Settings#.rate = 0.25|s# = Settings#()|s#.rate = -0.0|s#.__dict__['rate'] = k|
            vars(s#).clear()»
        """,
    ),
    "attribute, changed in the step": Part(
        setup="""
        class Settings#:
            def __init__(self):
                self.rate, self.calls = 0.5, 0

            def __call__(self, value):
                self.calls += 1
                return value * self.«rate|calls|rate»

            def halve(self):
                self.rate «*= 0.5|= 0.5|= self.calls|= -self.rate»

        s# = Settings#()
        """,
        step="""
        h = s#(h)
        s#.«halve()|rate += 1|last = 1|calls = 0|last = h.detach()»
        """,
    ),
    "attribute deep inside": Part(
        setup="""
        class Settings#:
            pass

        s# = Settings#()
        s#.inner = [Settings#()]
        s#.inner[0].table = {'rate': [0.5]}
        """,
        step="h = h * s#.inner[0].table['rate'][0]",
        between="""
        «s#.inner[0].table['rate'][0] = 3.0|s#.inner[0].table = {'rate': [k]}|
            s#.inner[0].table['rate'] = (2.0,)»
        """,
    ),
    "property and slots": Part(
        setup="""
        class Settings#:
            __slots__ = ("base",)

            @property
            def rate(self):
                return self.base * 2

        s# = Settings#()
        s#.base = 0.5
        """,
        step="h = h * s#.rate",
        between="s#.base = «3.0|s#.base * 0.5|-0.0»",
    ),
    "a dataclass": Part(
        setup="""
        from dataclasses import dataclass, replace

        @dataclass«|(frozen=True)»
        class Settings#:
            rate: float = 0.5

        s# = Settings#()
        """,
        step="h = h * s#.rate",
        between="s# = «replace(s#, rate=3.0)|Settings#()|Settings#(float(k))»",
    ),
    "function that reads state": Part(
        setup="""
        s# = 0.5

        def scaled#(value):
            return value * s#
        """,
        step="""
        h = «scaled#(h)|scaled#(scaled#(h))|tg.checkpoint(scaled#)(h)|[f(h) for f in (scaled#,)][0]|
            (lambda z: scaled#(z))(h)»
        """,
        between="s# = «3.0|s# * 0.5|-0.0»",
    ),
    "function that is replaced": Part(
        setup="""
        def f#(value, by=0.5):
            return value * by

        g# = [f#]
        """,
        step="h = g#[0](h)",
        between="g#[0] = «tg.tanh|(lambda value: value * 3)|(lambda value, by=k: value * by)|f#»",
    ),
    "function with an attribute": Part(
        setup="""
        def f#(value):
            f#.calls += 1
            return value * f#.«calls|rate»

        f#.calls, f#.rate = 0, 0.5
        """,
        step="h = f#(h)",
        between="f#.«rate = 3.0|calls = 0»",
    ),
    "default arguments": Part(
        setup="""
        def f#(value, by=[0.5], *, more={'b': 1.0}):
            return value * by[0] + more['b']
        """,
        step="h = f#(h)",
        between="«f#.__defaults__[0][0] = 3.0|f#.__kwdefaults__['more']['b'] = 2.0|f#.__defaults__ = ([k],)»",
    ),
    "function of another name": Part(
        setup="""
        def f#(value):
            return value * 0.5

        g# = f#
        """,
        step="h = g#(h)",
        between="g# = «tg.tanh|(lambda value: value * k)|f#»",
    ),
    "function with a closure": Part(
        setup="""
        def counting#():
            n, table = 0, {'rate': 0.5}

            def f(value):
                nonlocal n
                n += «1|0»
                return value * «n|table['rate']|(n + table['rate'])»

            return f, table

        f#, s# = counting#()
        """,
        step="h = f#(h)",
        between="s#['rate'] = «3.0|k»",
    ),
    "a method": Part(
        setup="""
        class Scale#:
            rate = 0.5

            def apply(self, value):
                return value * self.rate

        s# = Scale#()
        f# = s#.apply
        """,
        step="h = f#(h)",
        between="""
        «s#.rate = 3.0|Scale#.rate = 2.0|Scale#.apply = lambda self, value: value + 1|f# = Scale#().apply|
            s#.apply = tg.tanh»
        """,
    ),
    "what is there": Part(
        setup="""
        class Settings#:
            pass

        s# = Settings#()
        s#.table = {}
        """,
        step="""
        h = h * «(2 if hasattr(s#, 'rate') else 1)|s#.table.get('rate', 0.5)|(2 if 'rate' in s#.table else 1)|
            (1 + len(s#.table))»
        """,
        between="«s#.rate = 3.0|s#.table['rate'] = 2.0|s#.table = {'rate': k}|s#.table.clear()»",
        result="«|s#.table|dict(s#.table)»",
    ),
    "a default that keeps": Part(
        takes="s#={'n': 0}",
        step="s#['n'] += «1|0»\nh = h * s#['n']",
    ),
    "a partial": Part(
        setup="""
        from functools import partial

        def scaled#(value, by):
            return value * by

        s# = partial(scaled#, by=0.5)
        """,
        step="h = s#(h)",
        between="s# = partial(scaled#, by=«3.0|k»)",
    ),
    "generator": Part(
        setup="""
        def numbers#():
            n = 0.5
            while True:
                yield n
                n += 1

        s# = numbers#()
        """,
        step="h = h * next(s#)",
    ),
    "iterator": Part(
        setup="""
        import itertools

        s# = «itertools.count(1)|iter([1.0, 2.0, 3.0])|itertools.cycle([0.5, 2.0])|iter([np.ones(3), np.ones(3)] * 9)»
        """,
        step="h = h * next(s#, 0.5)",
    ),
    "random numbers": Part(
        setup="""
        import random
        s# = «np.random.default_rng(0)|random.Random(0)»
        """,
        step="h = h * s#.random()",
    ),
    "random arrays": Part(
        setup="s# = np.random.default_rng(0)",
        step="h = h * s#.«standard_normal(3)|random(3)|normal(size=h.shape)|permutation(3)|integers(0, 9)»",
    ),
    "random numbers of all": Part(
        setup="""
        import random
        random.seed(0)
        np.random.seed(0)
        """,
        step="h = h * «random.random()|np.random.rand()|np.random.rand(3)»",
    ),
    "a deque": Part(
        setup="""
        from collections import deque
        s# = deque([0.5, 2.0], maxlen=3)
        """,
        step="""
        h = h * s#[0]
        s#.«rotate()|append(3.0)|append(len(s#))|rotate(2)»
        """,
    ),
    "a name that is not there at first": Part(
        setup="s# = None",
        step="""
        if s# is None:
            s# = «0.5|np.ones(3)|tg.ones(3)|[1.0]|(x * 1).detach()[:1]|x.shape»
        else:
            h = h * 2
        """,
    ),
}
