"""Measures that people can run: ``python -m benchmarks --help``. They print figures and keep them; they assert nothing.

Each benchmark is a module with a click ``command`` around a :class:`benchmarks.harness.study.Study`; the harness they
share runs it, shows it and writes it. The peers that ``dispatch`` and ``local`` compare with come with
``pip install -e '.[bench]'``, and their servers with ``apt-get install redis-server postgresql beanstalkd``.
"""
