import { describe, expect, it } from 'vitest';
import { AnswerWatch } from '../../bench/lib/answers.mjs';

describe('how long questions waited for their answers', () => {
  it('is told by the totals of both, in the order of the questions', () => {
    const watch = new AnswerWatch();
    watch.look(0, 10, 10);
    watch.look(5, 12, 10);
    watch.look(9, 13, 11);
    watch.look(30, 13, 12);
    watch.look(31, 13, 13);
    expect(watch.answers(40)).toEqual({ asked: 3, answered: 3, greatestMs: 25 });
  });

  it('counts what is still waiting as far as it has waited', () => {
    const watch = new AnswerWatch();
    watch.look(0, 0, 0);
    watch.look(10, 4, 3);
    expect(watch.answers(510)).toEqual({ asked: 4, answered: 3, greatestMs: 500 });
  });

  it('forgets what had no answer before the first look', () => {
    const watch = new AnswerWatch();
    watch.look(0, 100, 90);
    watch.look(10, 101, 91);
    expect(watch.answers(1000)).toEqual({ asked: 1, answered: 1, greatestMs: 0 });
  });

  it('is nothing when nothing was asked', () => {
    expect(new AnswerWatch().answers(7)).toEqual({ asked: 0, answered: 0, greatestMs: 0 });
  });
});
