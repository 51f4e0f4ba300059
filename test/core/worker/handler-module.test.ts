import t from 'tap';
import { handlerFactoryOf } from '../../../src/core/worker/handler-module.js';
import { handlerFactory } from '../../fixtures/scripted-handler.js';

const other = { ...handlerFactory };

t.test('the factory of a module, or of one device in it', async (t) => {
  const module = {
    handlerFactory,
    nothing: undefined,
    text: 'zero',
    impostor: { name: 'zero' },
    zero: { name: 'zero', handlerFactory: other },
  };
  t.equal(handlerFactoryOf(module, undefined), handlerFactory);
  t.equal(handlerFactoryOf(module, 'zero'), other);
  t.throws(() => handlerFactoryOf(module, 'one'), { message: 'the module exports no one' });
  t.throws(() => handlerFactoryOf({}, undefined), { message: /no handlerFactory/ });
});
