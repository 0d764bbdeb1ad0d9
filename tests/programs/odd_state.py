"""Parts that keep state where few look for it: behind special methods, in other modules, in objects of the library."""

from .grammar import Part

ODD = {
    "special methods": Part(
        setup="""
        class Odd#:
            n = 1

            def __getattr__(self, name):
                return self.n

            def __getitem__(self, key):
                return self.n + len(str(key))

            def __len__(self):
                return self.n

            def __bool__(self):
                return self.n > 1

            def __float__(self):
                return float(self.n)

            def __iter__(self):
                return iter([1.0] * self.n)

            def __contains__(self, item):
                return self.n == item

            def __eq__(self, other):
                return self.n == other

            def __mul__(self, other):
                return other * self.n

        s# = Odd#()
        """,
        step="""
        h = «h * s#.anything|h * s#['key']|h * len(s#)|(h * 2 if s# else h)|h * float(s#)|h * sum(s#)|
            (h * 2 if 1 in s# else h)|(h * 2 if s# == 2 else h)|s# * h»
        """,
        between="«s#.n = k|Odd#.n = 2|s#.n += 1|s# = Odd#()»",
    ),
    "attributes of computed names": Part(
        setup="""
        class Settings#:
            pass

        s#, name# = Settings#(), 'ra' + 'te'
        s#.rate, s#.other = 0.5, 2.0
        """,
        step="""
        h = h * «getattr(s#, name#)|getattr(s#, 'ra' + 'te')|vars(s#)['rate']|s#.__dict__[name#]|sum(vars(s#).values())|
            eval('s.rate', {'s': s#})|getattr(s#, [n for n in dir(s#) if n > 'r'][0])»
        """,
        between="«s#.rate = 3.0|name# = 'other'|s#.rate = float(k)|vars(s#).update(rate=k)»",
    ),
    "globals by name": Part(
        setup="s# = 0.5\nt# = {'s': 0.5}",
        step="""
        h = h * «globals().get('s#', t#['s'])|eval('t#', {'t#': t#})['s']|(lambda: t#['s'])()|
            [t# for _ in 'a'][0]['s']»
        """,
        between="s# = t#['s'] = «3.0|float(k)|-0.0»",
    ),
    "inherited attributes": Part(
        setup="""
        class Base#:
            rate = 0.5
            calls = 0

            @classmethod
            def count(cls):
                cls.calls += «1|0»
                return cls.«calls|rate»

            @staticmethod
            def table():
                return Base#.rate

        class Settings#(Base#):
            @property
            def now(self):
                return super().count() + self.table()

        s# = Settings#()
        """,
        step="h = h * s#.«now|count()|table()|rate»",
        between="Base#.rate = «3.0|float(k)»",
        result="«|Base#.calls|Settings#.calls»",
    ),
    "a cache": Part(
        setup="""
        from functools import «lru_cache|cache»«(maxsize=None)|»

        s# = [0.5]

        @lru_cache(maxsize=4)
        def f#(n):
            s#.append(n)
            return s#[0] * len(s#)
        """.replace("«lru_cache|cache»«(maxsize=None)|»", "lru_cache"),
        step="h = h * f#(«1|h.shape[0]|len(s#) // 2»)",
        between="«s#[0] = 3.0|f#.cache_clear()|s#[0] = 3.0; f#.cache_clear()»",
    ),
    "a cached property": Part(
        setup="""
        from functools import cached_property

        class Settings#:
            rate = 0.5

            @cached_property
            def twice(self):
                return self.rate * 2

        s# = Settings#()
        """,
        step="h = h * s#.twice",
        between="«s#.rate = 3.0|s#.__dict__.pop('twice', None)|s#.twice = k|s# = Settings#()»",
        result="«|'twice' in vars(s#)»",
    ),
    "containers of other kinds": Part(
        setup="""
        import collections
        import types

        class Own#(«dict|collections.UserDict»):
            def __getitem__(self, key):
                return super().__getitem__(key) * 2

        inner# = {'a': 0.5}
        s# = «collections.ChainMap({}, inner#)|collections.OrderedDict(a=0.5)|
            collections.defaultdict(lambda: 2.0, a=0.5)|
            collections.Counter(a=2)|types.MappingProxyType(inner#)|Own#(a=0.5)|
            types.SimpleNamespace(a=0.5).__dict__|
            collections.UserDict(a=0.5)»
        """,
        step="h = h * «s#['a']|sum(s#.values())|(2 if 'b' in s# else 1)|(s#['b'] if len(s#) > 1 else s#['a'])»",
        between="«inner#['a'] = 3.0|inner#['b'] = 4.0|s# = Own#(a=3.0)|s# = {**s#, 'b': 2.0}»",
    ),
    "bytes and views of them": Part(
        setup="""
        import array as arrays

        buffer# = «bytearray([1, 2, 3])|arrays.array('d', [0.5, 2.0, 3.0])|np.array([0.5, 2.0, 3.0])»
        s# = memoryview(buffer#)
        """,
        step="h = h * «s#[0]|buffer#[0]|float(s#[1])|sum(s#)|np.asarray(s#)»",
        between="buffer#[«0|1»] = «3|k»",
    ),
    "arrays of objects and of records": Part(
        setup="s# = «np.array([{'a': 0.5}, 2.0], dtype=object)|np.array([(0.5, 1)], dtype=[('a', 'f8'), ('b', 'i4')])»",
        step="h = h * s#[0]['a']",
        between="s#[0]['a'] = «3.0|k»",
    ),
    "references": Part(
        setup="""
        import contextvars
        import threading
        import weakref

        class Settings#:
            rate = 0.5

        held# = Settings#()
        s# = weakref.ref(held#)
        var# = contextvars.ContextVar('var#', default=0.5)
        local# = threading.local()
        local#.rate = 0.5
        """,
        step="h = h * «s#().rate|var#.get()|getattr(local#, 'rate', 2.0)|(s#() or held#).rate»",
        between="""
        «held#.rate = 3.0|var#.set(float(k))|local#.rate = float(k)|
            held# = Settings#(); s# = weakref.ref(held#)»
        """,
    ),
    "an enumeration": Part(
        setup="""
        import enum

        class Mode#(enum.Enum):
            OFF = 0
            ON = 2

        s# = Mode#.ON
        """,
        step="h = h * «s#.value|(2 if s# is Mode#.ON else 1)|(3 if s#.name == 'ON' else 1)»",
        between="s# = «Mode#.OFF|list(Mode#)[k % 2]»",
    ),
    "a context manager": Part(
        setup="""
        import contextlib

        s# = [1.0]

        @contextlib.contextmanager
        def scaled#(by):
            before = s#[0]
            s#[0] = «before * by|by|before + by»
            try:
                yield s#[0]
            finally:
                s#[0] = «before|before + 1|s#[0]»
        """,
        step="""
        with scaled#(2.0) as rate:
            h = h * «s#[0]|rate»
        """,
        between="s#[0] = «3.0|0.5»",
    ),
    "exceptions that are caught": Part(
        setup="s# = {'a': 0.5}",
        step="""
        try:
            h = h * s#['«b|a»']
        except KeyError as error:
            h = h * (1 + len(error.args))
        finally:
            s#.setdefault('«c|a»', 1.0)
        """,
        between="«s#['b'] = 3.0|s#.pop('b', None)|s#['a'] = 3.0|s#.clear()»",
    ),
    "a generator function": Part(
        setup="""
        s# = [0.5, 2.0]

        def each#():
            for value in s#:
                yield value
        """,
        step="""
        for value in «each#()|(v * 2 for v in s#)|map(float, s#)|reversed(s#)|zip(s#)|enumerate(s#)|sorted(s#)|
            filter(None, s#)»:
            h = h + (value if isinstance(value, float) else value[-1])
        """,
        between="«s#.append(float(k))|s#[0] = 3.0|s#.clear()»",
    ),
    "numbers of a clock": Part(
        setup="""
        import itertools

        ticks# = itertools.count()
        clock# = «lambda: next(ticks#)|ticks#.__next__|(lambda tick: lambda: tick())(ticks#.__next__)|
            iter(ticks#.__next__, -1).__next__»
        """,
        step="h = h * «(1 + clock#())|clock#()»",
    ),
    "methods of generators": Part(
        setup="s# = np.random.default_rng(0)\ndraw# = s#.«random|standard_normal|normal»",
        step="h = h * draw#(«|size=3|size=h.shape»)",
    ),
    "a class made in the step": Part(
        setup="s# = [0.5]",
        step="""
        class Own(tg.nn.Module):
            calls = s#[0]

            def forward(self, z):
                return z * self.calls

        h = Own()(h)
        """,
        between="s#[0] = 3.0",
    ),
    "a recursive function": Part(
        setup="""
        s# = [0.5]

        def f#(value, depth):
            s#[0] += «1|0»
            return value * s#[0] if depth == 0 else f#(value, depth - 1)
        """,
        step="h = f#(h, 2)",
        between="s#[0] = 3.0",
    ),
    "a decorated function": Part(
        setup="""
        from functools import wraps

        s# = {'calls': 0, 'rate': 0.5}

        def counted#(f):
            @wraps(f)
            def call(*args):
                s#['calls'] += «1|0»
                return f(*args) * s#['«calls|rate»']
            return call

        @counted#
        def f#(value):
            return value * 2
        """,
        step="h = f#(h)",
        between="s#['rate'] = 3.0",
    ),
    "functions of the standard library": Part(
        setup="""
        import copy
        import functools
        import json
        import math
        import operator

        s# = {'a': [0.5, 2.0]}
        """,
        step="""
        h = h * «copy.deepcopy(s#)['a'][0]|functools.reduce(operator.mul, s#['a'])|json.loads(json.dumps(s#))['a'][0]|
            math.fsum(s#['a'])|max(s#['a'])|operator.itemgetter('a')(s#)[0]|[*s#['a']][0]|math.prod(s#['a'])|
            float(np.mean(s#['a']))|dict(s#)['a'][0]|list(s#.values())[0][0]|min(s#['a'], key=abs)»
        """,
        between="s#['a']«[0] = 3.0|= [3.0, k]|.append(4.0)»",
    ),
    "state in C": Part(
        setup="""
        import ctypes

        s# = ctypes.c_double(0.5)
        """,
        step="h = h * «s#.value|globals().get('s' + '#', s#).value»",
        between="s#.value = «3.0|float(k)»",
    ),
    "settings of NumPy and warnings": Part(
        step="h = h * (2 if np.geterr()['«divide|over»'] == 'ignore' else 1)",
        between="np.seterr(«divide='ignore'|all='warn'|over='ignore'»)",
    ),
    "settings of this library": Part(
        step="""
        h = h * «(2 if tg.is_grad_enabled() else 1)|
            (3 if tg.nn.init.generator(None).bit_generator.state else 1)»
        """,
        between="«tg.nn.init.seed(k)|tg.nn.init.generator(None).random()»",
    ),
    "first values of layers": Part(
        step="h = tg.nn.Dense(3, in_features=3«, seed=3|», dtype='float64')(h)",
        between="tg.nn.init.seed(0)",
    ),
    "an observer of one's own": Part(
        setup="""
        s# = []

        class Watch#:
            def __init__(self, module):
                self.module, self.seen = module, s#

            def __call__(self, value):
                self.seen.append(«value.shape|1»)
                return self.module(value)

        net# = Watch#(tg.nn.Dense(3, in_features=3, seed=1, dtype='float64'))
        """,
        step="h = net#(h)",
        learns="*net#.module.parameters()",
        between="«net#.module.activation = 'tanh'|net#.module = tg.tanh|s#.clear()»",
    ),
    "the same object under two names": Part(
        setup="s# = t# = «[0.5]|np.array([0.5])|{0: 0.5}»",
        step="h = h * «t#[0]|s#[0]»\ns#[0] «+= 1|*= 0.5|= 0.5»",
        between="t#[0] = 3.0",
    ),
    "tensors in containers": Part(
        setup="s# = {'a': [tg.Tensor([1.0, 2.0, 3.0]), tg.nn.Parameter(np.ones(3))]}",
        step="h = h * s#['a'][0] + s#['a'][1]",
        learns="s#['a'][1]",
        between="""
        «s#['a'][0] = tg.ones(3)|s#['a'][1] = tg.nn.Parameter(np.zeros(3))|s#['a'].reverse()|
            s#['a'][0].data = np.ones(3)»
        """,
    ),
    "attributes of tensors": Part(
        setup="s# = tg.Tensor([1.0, 2.0, 3.0], name='rate')",
        step="""
        h = h * (2 if «s#.name == 'rate'|s#.requires_grad|s#.dtype == np.float64|s#.grad is None|
            s#.shape == (3,)|w.requires_grad» else 1)
        """,
        between="s#«.name = 'other'|.requires_grad = k % 2 == 0|.data = s#.data.astype('float32')| = tg.ones(4)»",
    ),
    "state of optimisers": Part(
        setup="other# = tg.optim.SGD([w], lr=0.25)",
        step="""
        h = h * «other#.lr|(1 + other#.steps)|(1 + len(other#.state))|(1 + other#.weight_decay)|
            len(other#.params)»
        """,
        between="other#.«lr = 0.5|steps += 1|lr = lambda step: 0.1|weight_decay = 0.5»",
    ),
}
