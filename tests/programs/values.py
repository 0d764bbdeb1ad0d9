"""Parts that compute: operations, layers, control flow, transforms and modes, each from `h` of shape (n, 3) to `h`."""

from .grammar import Part

W = "np.array([[0.5, -1.0, 0.25], [1.0, 0.75, -0.5], [-0.25, 0.5, 1.0]])"

VALUES = {
    "elementwise": Part(
        step="h = «h * 2|tg.tanh(h)|h + 1|h * h|tg.relu(h)|tg.exp(-h * h)|abs(h)|h - h|h ** 3|-h|1 / (1 + h * h)»",
    ),
    "several at once": Part(step="h = «tg.sin(h) * tg.cos(h)|(h * 2 + 1) / 3|tg.relu(h + 0.5) - tg.relu(0.5 - h)»"),
    "reduced": Part(step="h = h «-|*|+» h.«mean|sum|max»(«|axis=0|axis=1, keepdims=True»)"),
    "views": Part(
        step="""
        h = «h[::-1]|h.reshape(-1).reshape(h.shape)|h.T.T|h[:, ::-1]|tg.concat([h[:, 1:], h[:, :1]], axis=1)|
            h[:]|tg.stack(list(h.T), axis=1)|tg.transpose(tg.transpose(h))|h[..., None][..., 0]|tg.flip(h, 1)»
        """,
    ),
    "indexed": Part(
        step="""
        h = h * «h[:, [2, 0, 1]]|h[:, 0:1]|tg.take(h, np.array([0, 0, 2]), axis=1)|
            tg.set_at(h, (slice(None), 0), 1.0)»
        """,
    ),
    "softmax": Part(step="h = tg.«softmax|log_softmax»(h«|, axis=0»)"),
    "sorted": Part(
        step="""
        h = «tg.where(h > 0, h, 0.1 * h)|tg.maximum(h, 0.1)|
            tg.take_along_axis(h, h.detach().argsort(axis=1), axis=1)|tg.clip(h, -1, 1)»
        """,
    ),
    "another parameter": Part(
        setup="w# = tg.nn.Parameter(np.array([1.5, 0.5, -0.5])«|, dtype='float32'»)",
        step="h = h «*|+» w#",
        learns="w#",
    ),
    "a parameter of one's own class": Part(
        setup="""
        class Mine#(tg.nn.Parameter):
            __slots__ = ('scale',)

        w# = Mine#(np.array([1.5, 0.5, -0.5]))
        w#.scale = 0.5
        """,
        step="h = h * w# * w#.scale",
        between="w#.scale = «3.0|float(k)»",
        result="«|w#|w#.detach()»",
        learns="w#",
    ),
    "matrix": Part(
        setup=f"w# = tg.nn.Parameter(np.array({W[9:-1]}))",
        step="h = «h @ w#|h @ w#.T|tg.tanh(h @ w#)|tg.einsum('ij,jk->ik', h, w#)»",
        learns="w#",
    ),
    "cast": Part(step="h = h.astype('«float32|float64|float16|float32»')"),
    "whole numbers": Part(
        step="""
        h = h * «(x > 0)|tg.one_hot(np.array([0, 2, 1]), 3).sum(axis=0)|x.shape[0]|np.arange(3)|
            x.detach().astype('int64')»
        """,
    ),
    "constants made in the step": Part(
        step="""
        h = h «*|+» «np.array([1.0, 2.0, 3.0])|np.ones(3)|tg.ones(3)|np.arange(3.0)|np.float32(0.5)|-0.0|
            np.full(3, 2)|tg.Tensor([1.0, 2.0, 3.0])|np.linspace(0, 1, 3)|[1.0, 2.0, 3.0][1]»
        """,
    ),
    "no_grad": Part(
        step="""
        with tg.no_grad():
            scale = «h.mean()|w * 2|tg.exp(-h).sum()|x.max()|h.sum(axis=0)|tg.ones(3)»
        h = h * scale
        """,
    ),
    "recorded again": Part(
        step="""
        with tg.no_grad():
            before = h * 2
            with tg.enable_grad():
                h = «before * w|before * h|before»
        """,
    ),
    "checkpoint": Part(step="h = tg.checkpoint(lambda z: «tg.tanh(z * w)|z * 2|tg.exp(-z * z)|z[::-1] * w»)(h)"),
    "a gradient inside": Part(
        step="h = h + tg.grad(lambda z: (z ** 3).sum())(«x * 1.0|h|h.detach()|x.astype('float64')»)",
    ),
    "forward mode inside": Part(
        step="""
        h = h + tg.jvp(lambda z: «tg.sin(z)|z * w|z ** 2», («h|h.detach()|
            x * 1.0»,), (tg.ones(h.shape, dtype=h.dtype) * 1,))[1]
        """,
    ),
    "other transforms": Part(
        step="""
        «h = h * tg.hvp(lambda z: (z ** 3).sum(), w.detach(), w.detach())|
            h = h @ tg.jacobian(lambda z: z * z)(w.detach())|h = h * tg.vjp(tg.tanh, h)[1](h)[0]|
            h = h * tg.value_and_grad(lambda z: (z * z).sum())(w.detach())[0]»
        """,
    ),
    "by shape": Part(
        step="""
        if «x.shape[0] > 2|len(x) % 2|x.size > 6|h.ndim == 2|h.shape == x.shape»:
            h = h «* 2|+ w»
        """,
    ),
    "by dtype": Part(step="h = h * 2 if x.dtype == np.«float32|float64» else h"),
    "by the value of an element": Part(
        step="""
        if «x.sum() > 0|(h.detach() > 0).all()|float(x.sum()) > 0|x.sum().item() > 0|h.detach().numpy().sum() > 0»:
            h = h * 2
        """,
    ),
    "a loop over rows": Part(
        step="""
        for row in «x|x[:1]|h.detach()»:
            h = h + row
        """,
    ),
    "is it recorded?": Part(step="h = h * 2 if tg.is_grad_enabled() else h"),
    "caught": Part(
        takes="y#=None",
        gives="y#=np.array([0, k % 4])",
        step="""
        try:
            h = h + tg.softmax_cross_entropy(tg.zeros((2, 3)), y#)
        except «ValueError|tg.errors.ArgumentError|Exception»:
            h = h * 2
        """,
    ),
    "a compiled step inside": Part(
        setup="""
        «s# = 0.5|s# = w|s# = [1, 2]»

        @compile
        def inner#(z):
            return tg.tanh(z) «* 2|* w.detach()|+ z[:1]»
        """,
        step="""
        with tg.no_grad():
            h«2 = inner#(h)|2 = inner#(x)| = h + inner#(x)»
        """,
    ),
    "a compiled step inside, with a graph": Part(
        setup="""
        @compile
        def inner#(z):
            return tg.tanh(z) * w
        """,
        step="h = inner#(h)",
    ),
    "an operation as a function of NumPy": Part(
        step="h = «np.tanh(h)|np.multiply(h, 2)|np.sum(h, axis=0) + h|np.where(x > 0, h, h * 2)»",
    ),
    "anomalies watched": Part(
        step="""
        with tg.detect_anomaly():
            h = h * «2|w|tg.log(tg.abs(x) + 1)»
        """,
    ),
    "a primitive of one's own": Part(
        setup="""
        s# = [2.0]

        @tg.elementwise(lambda x: tg.ones(x.shape) * s#[0])
        def scale#(x):
            return x * s#[0]
        """,
        step="h = scale#(h)",
        between="s#[0] = «3.0|-1.0»",
    ),
    "plain kernels": Part(
        step="""
        with tg.use_kernels('plain'):
            h = tg.tanh(h @ h.T @ h)
        """,
    ),
    "masked": Part(step="h = h + h[«x > 0|h.detach() > 0|x.detach() != 0|[True, False]»].«sum()|sum(axis=0)»"),
    "of unknown size": Part(
        step="h = h * «np.unique(x.detach()).size|np.nonzero(x.detach())[0].size|len(h[:, 0][x[:, 0] > 0])»"
    ),
    "a leaf made in the step": Part(
        step="""
        z = tg.Tensor(«h.detach()|x * 1|h.detach() * 1|np.ones(3)», requires_grad=True)
        (tg.sin(z) * w«.detach()|»).sum().backward()
        h = h + «0.1 * z.grad|z.grad.detach()|z»
        """,
    ),
    "a profile": Part(
        step="""
        with tg.profile():
            h = tg.tanh(h * w)
        """,
    ),
    "a recurrence": Part(step="z = h\nfor _ in range(«3|x.shape[0]»):\n    z = tg.tanh(z * w + h)\nh = z"),
    "attention": Part(step="h = tg.softmax(h @ h.T / «2|3 ** 0.5») @ h"),
    "embedded": Part(step="h = h * tg.embedding(np.array([0, 2, 2]), «h[:1].T|w.reshape((3, 1))|tg.ones((3, 1))»).T"),
    "images": Part(
        setup="w# = tg.nn.Parameter(np.linspace(-1, 1, 8).reshape(2, 2, 1, 2))",
        step="""
        image = tg.pad(h, ((0, 1), (0, 1))).reshape((1, h.shape[0] + 1, 4, 1))
        image = tg.relu(tg.conv2d(image, w#))
        h = h * «image.mean()|tg.max_pool2d(image, (1, 3)).mean()|image.sum(axis=(0, 1, 3))»
        """,
        learns="w#",
    ),
}
