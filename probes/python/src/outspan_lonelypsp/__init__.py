"""The trace points of lonelypsp for lonelypsc and lonelypss, unmodified.

Each seam that the two packages offer has a class here that passes everything on and fires the points
that the C library fires, so that outspan sees both alike. While nobody traces, a point is a load and
a branch; nothing here raises into the application. README.md says which seam reaches which points.

    outspan_lonelypsp.subscriber    for lonelypsc over HTTP
    outspan_lonelypsp.broadcaster   for lonelypss
    outspan_lonelypsp.points        the points themselves: a class per operation, a method per point
"""
